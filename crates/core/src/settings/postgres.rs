//! How PostgreSQL is reached.

use std::path::PathBuf;

use super::{Reader, process::is_local};

/// How much TLS protects the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbTlsMode {
    /// None.
    Disable,
    /// Encrypted; whoever answers is believed.
    Require,
    /// Encrypted; certificate and name of the server are checked.
    VerifyFull,
}

/// Connection settings of PostgreSQL; the password is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// A name or address, or the folder of a Unix socket, which begins with `/`.
    pub host: String,
    /// Also names the Unix socket.
    pub port: u16,
    /// The database's name.
    pub database: String,
    /// The role, unless the secrets name another.
    pub user: String,
    /// TLS.
    pub tls: DbTlsMode,
    /// The authority to trust instead of the system's.
    pub ca_cert_path: Option<PathBuf>,
    /// Connections kept open.
    pub pool_min: u32,
    /// Most connections; at least `pool_min`.
    pub pool_max: u32,
    /// Whether a starting service applies pending migrations.
    pub auto_migrate: bool,
}

impl PostgresSettings {
    /// Reads the section `postgres`.
    pub fn read(reader: &mut Reader) -> Self {
        reader.section("postgres");
        let host = reader.text(
            "DB_HOST",
            "localhost",
            "Name or address of PostgreSQL, or the folder of its Unix socket",
        );
        let port = reader.number("DB_PORT", 5432, 1..=u16::MAX, "Port of PostgreSQL");
        let database = reader.text("DB_NAME", "mutt_db", "Name of the database");
        let user = reader.text("DB_USER", "mutt_user", "Role to log in as; the secret DB_USER wins over it");
        let ca_cert_path =
            reader.path("DB_TLS_CA_CERT_PATH", "", "Authority that signed the certificate of PostgreSQL");
        let tls = tls_mode(reader, &host, ca_cert_path.is_some());
        let pool_min = reader.number("DB_POOL_MIN_CONN", 2, 1..=1000, "Connections kept open");
        let pool_max = reader.number("DB_POOL_MAX_CONN", 10, 1..=1000, "Most connections");
        if pool_max < pool_min {
            reader.problem(
                "DB_POOL_MAX_CONN",
                format!("must be at least DB_POOL_MIN_CONN, which is {pool_min}"),
            );
        }
        let auto_migrate = reader.flag(
            "DB_AUTO_MIGRATE",
            true,
            "Whether a starting service brings the schema up to date; `mutt migrate` does it alone",
        );
        Self { host, port, database, user, tls, ca_cert_path, pool_min, pool_max, auto_migrate }
    }
}

/// `DB_TLS_MODE`, else what the original's `DB_TLS_ENABLED` says, else on unless the server is on this machine.
fn tls_mode(reader: &mut Reader, host: &str, has_ca: bool) -> DbTlsMode {
    const CHOICES: [(&str, DbTlsMode); 3] = [
        ("disable", DbTlsMode::Disable),
        ("require", DbTlsMode::Require),
        ("verify-full", DbTlsMode::VerifyFull),
    ];
    let local = is_local(host);
    let enabled = reader.flag(
        "DB_TLS_ENABLED",
        !local,
        "The original's switch for TLS; DB_TLS_MODE says it better and wins",
    );
    // Who names an authority wants the certificate checked.
    let by_default = match (enabled, has_ca) {
        (false, _) => "disable",
        (true, false) => "require",
        (true, true) => "verify-full",
    };
    let mode = reader.choice(
        "DB_TLS_MODE",
        by_default,
        &CHOICES,
        "TLS to PostgreSQL; by default require, or verify-full with DB_TLS_CA_CERT_PATH, or disable on this machine",
    );
    match mode {
        DbTlsMode::Disable if !local => {
            reader.warn("DB_TLS_MODE", "is disable for a PostgreSQL on another machine: audit and password cross the network in the clear");
        }
        DbTlsMode::Require if !local => {
            reader.warn("DB_TLS_MODE", "is require: encrypted, but any server that answers is believed; verify-full checks who it is");
        }
        DbTlsMode::Disable | DbTlsMode::Require | DbTlsMode::VerifyFull => {}
    }
    mode
}
