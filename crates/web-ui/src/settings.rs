//! What the Web UI reads from environment and file.

use std::{net::SocketAddr, time::Duration};

use mutt_core::settings::{
    Reader,
    http::{HttpSettings, TlsFiles, TlsKeys},
    postgres::PostgresSettings,
    process::ProcessSettings,
    queue::QueueSettings,
    redis::RedisSettings,
    vault::SecretsSettings,
};

/// The most rows that one page of an audit may have.
pub const PAGE_SIZE_MAX: u32 = 200;

/// All settings of the Web UI.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name, grace, patience.
    pub process: ProcessSettings,
    /// Where the queues are.
    pub redis: RedisSettings,
    /// Where rules and audits are.
    pub postgres: PostgresSettings,
    /// Where keys and passwords come from.
    pub secrets: SecretsSettings,
    /// What the queues are called.
    pub queue: QueueSettings,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// TLS of that listener.
    pub tls: Option<TlsFiles>,
    /// What is shown.
    pub view: ViewSettings,
}

/// What is shown, and how fresh it is.
#[derive(Debug, Clone)]
pub struct ViewSettings {
    /// Beginning of the names of the ingestor's counters.
    pub metrics_prefix: String,
    /// How long an answer of `/api/v1/metrics` is used again.
    pub metrics_cache: Duration,
    /// Rows of a page when the caller names no number.
    pub page_size: u32,
    /// Where objectives are measured; empty for nowhere.
    pub prometheus_url: String,
}

impl Settings {
    /// Reads all sections.
    pub fn read(reader: &mut Reader) -> Self {
        let process = ProcessSettings::read(reader);
        let redis = RedisSettings::read(reader);
        let postgres = PostgresSettings::read(reader);
        let secrets = SecretsSettings::read(reader);
        let queue = QueueSettings::read(reader);
        let http = HttpSettings::read(reader);
        let listen =
            http.listener(reader, "SERVER_PORT_WEBUI", 8090, "Port of API and console; 0 for a free one");
        let keys = TlsKeys { cert: "WEBUI_TLS_CERT_PATH", key: "WEBUI_TLS_KEY_PATH", client_ca: None };
        let tls = TlsFiles::read(reader, keys);
        Self { process, redis, postgres, secrets, queue, listen, tls, view: ViewSettings::read(reader) }
    }
}

impl ViewSettings {
    fn read(reader: &mut Reader) -> Self {
        reader.section("webui");
        Self {
            metrics_prefix: reader.text(
                "METRICS_PREFIX",
                "mutt:metrics",
                "Beginning of the names of the ingestor's counters of accepted events",
            ),
            metrics_cache: reader.seconds(
                "METRICS_CACHE_TTL",
                5,
                0..=3600,
                "How long an answer about the event rate is used again",
            ),
            page_size: reader.number(
                "AUDIT_LOG_PAGE_SIZE",
                50,
                1..=PAGE_SIZE_MAX,
                "Rows of a page of an audit, when the caller names no number",
            ),
            prometheus_url: reader.url(
                "PROMETHEUS_URL",
                "http://localhost:9090",
                "Prometheus that measures the objectives; while it is away they are unknown",
            ),
        }
    }
}
