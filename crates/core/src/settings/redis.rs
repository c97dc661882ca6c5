//! How Redis is reached.

use std::path::PathBuf;

use super::{Reader, process::is_local};

/// Connection settings of Redis; the password is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// A name or address, or the path of a Unix socket, which begins with `/`.
    pub host: String,
    /// Of no use with a Unix socket.
    pub port: u16,
    /// The numbered database.
    pub database: u8,
    /// Whether TLS is spoken; then the server's certificate and name are always checked.
    pub tls: bool,
    /// The authority to trust instead of the system's.
    pub ca_cert_path: Option<PathBuf>,
    /// Most connections of this process.
    pub max_connections: u32,
    /// Whether values under `mutt:config:` in Redis change settings of the running service.
    pub live_settings: bool,
}

impl RedisSettings {
    /// Reads the section `redis`.
    pub fn read(reader: &mut Reader) -> Self {
        reader.section("redis");
        let host = reader.text(
            "REDIS_HOST",
            "localhost",
            "Name or address of Redis, or the path of its Unix socket",
        );
        let local = is_local(&host);
        let tls = reader.flag(
            "REDIS_TLS_ENABLED",
            !local,
            "Whether Redis is spoken to over TLS; by default on unless it is on this machine",
        );
        let settings = Self {
            port: reader.number("REDIS_PORT", 6379, 1..=u16::MAX, "Port of Redis"),
            database: reader.number("REDIS_DB", 0, 0..=u8::MAX, "Number of the database in Redis"),
            tls,
            ca_cert_path: reader.path(
                "REDIS_CA_CERT_PATH",
                "",
                "Authority that signed the certificate of Redis",
            ),
            max_connections: reader.number(
                "REDIS_MAX_CONNECTIONS",
                20,
                5..=10_000,
                "Most connections to Redis",
            ),
            live_settings: reader.flag(
                "DYNAMIC_CONFIG_ENABLED",
                false,
                "Whether mutt:config:* in Redis changes settings while the service runs",
            ),
            host,
        };
        if !tls && !local {
            reader.warn(
                "REDIS_TLS_ENABLED",
                "is off for a Redis on another machine: events and password cross the network in the clear",
            );
        }
        if tls && settings.host.starts_with('/') {
            reader.problem("REDIS_TLS_ENABLED", "must be false for a Unix socket");
        }
        if !tls && settings.ca_cert_path.is_some() {
            reader.warn("REDIS_CA_CERT_PATH", "is of no use while REDIS_TLS_ENABLED is false");
        }
        settings
    }
}
