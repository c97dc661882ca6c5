//! What the ingestor reads from environment and file.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;
use mutt_core::{
    redis::rate_limiter::RateLimit,
    settings::{
        Reader, http::HttpSettings, process::ProcessSettings, queue::QueueSettings, redis::RedisSettings,
        telemetry::TelemetrySettings, vault::SecretsSettings,
    },
};

use crate::sources::AllowedSources;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// All settings of the ingestor.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name, grace, patience.
    pub process: ProcessSettings,
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// Where the keys come from.
    pub secrets: SecretsSettings,
    /// Where the queue is.
    pub redis: RedisSettings,
    /// What the queue is called.
    pub queue: QueueSettings,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// What comes in, and how much of it.
    pub ingest: IngestSettings,
    /// The syslog listeners.
    pub syslog: SyslogSettings,
    /// All of the above as text for people, nothing secret in it.
    pub in_force: Vec<(&'static str, String)>,
}

/// What is taken, and how much of it.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// Longest queue.
    pub max_queue: u64,
    /// Beginning of the names of the counters of accepted events.
    pub metrics_prefix: String,
    /// Fields without which an HTTP event is refused.
    pub required_fields: Vec<String>,
    /// Largest body, before and after decompression.
    pub max_body_bytes: usize,
    /// Largest event.
    pub max_event_bytes: usize,
    /// Who may send.
    pub sources: AllowedSources,
    /// The limit on HTTP requests of all ingestors together; `None` when it is off.
    pub rate_limit: Option<RateLimit>,
    /// Batches on their way to Redis at once, for HTTP and for syslog each.
    pub streams: usize,
}

/// The syslog listeners; `None` is off.
#[derive(Debug, Clone)]
pub struct SyslogSettings {
    /// Where datagrams are taken.
    pub udp: Option<SocketAddr>,
    /// Sockets that share the port.
    pub udp_sockets: usize,
    /// What the kernel keeps for each socket.
    pub udp_receive_buffer: usize,
    /// What UDP keeps while Redis is full or away.
    pub udp_buffer_bytes: usize,
    /// Where connections are taken.
    pub tcp: Option<SocketAddr>,
    /// Most connections at once.
    pub tcp_connections: usize,
    /// How long one message may take.
    pub tcp_frame_timeout: Duration,
}

impl Settings {
    /// Reads them all; problems are noted in `reader`.
    pub fn read(reader: &mut Reader) -> Self {
        let process = ProcessSettings::read(reader);
        let telemetry = TelemetrySettings::read(reader);
        let secrets = SecretsSettings::read(reader);
        let redis = RedisSettings::read(reader);
        let queue = QueueSettings::read(reader);
        let http = HttpSettings::read(reader);
        let listen =
            http.listener(reader, "SERVER_PORT_INGESTOR", 8080, "Port of POST /ingest, health and metrics");
        let ingest = IngestSettings::read(reader);
        let syslog = SyslogSettings::read(reader);
        let in_force = reader.entries().iter().map(|entry| (entry.key, entry.value.clone())).collect();
        Self { process, telemetry, secrets, redis, queue, listen, ingest, syslog, in_force }
    }
}

impl IngestSettings {
    fn read(reader: &mut Reader) -> Self {
        reader.section("ingest");
        let max_body_bytes = reader.bytes(
            "INGEST_MAX_BODY_BYTES",
            10 * MIB,
            KIB..=256 * MIB,
            "Largest request body, before and after decompression; a larger one is answered 413",
        );
        let max_event_bytes = reader.bytes(
            "INGEST_MAX_EVENT_BYTES",
            64 * KIB,
            KIB..=16 * MIB,
            "Largest event: a longer syslog message is cut and flagged, a larger HTTP event is answered 413",
        );
        if max_event_bytes > max_body_bytes {
            reader.problem("INGEST_MAX_EVENT_BYTES", "must not be above INGEST_MAX_BODY_BYTES");
        }
        let required_fields = reader.list(
            "REQUIRED_FIELDS",
            "hostname,message,timestamp",
            "Fields that an HTTP event must have, not empty; an empty list takes everything",
        );
        if required_fields.is_empty() {
            reader.warn(
                "REQUIRED_FIELDS",
                "is empty: events without host or message are taken as their sender's",
            );
        }
        Self {
            max_queue: reader.number(
                "MAX_INGEST_QUEUE_SIZE",
                1_000_000,
                1_000..=1_000_000_000,
                "Most events that may wait; beyond it HTTP is answered 503 and syslog over TCP is not read",
            ),
            metrics_prefix: reader.text(
                "METRICS_PREFIX",
                "mutt:metrics",
                "Beginning of the names of the Redis counters of accepted events per minute, hour and day",
            ),
            required_fields,
            max_body_bytes: size(max_body_bytes),
            max_event_bytes: size(max_event_bytes),
            sources: sources(reader),
            rate_limit: rate_limit(reader),
            streams: reader.number(
                "INGEST_STREAMS",
                2,
                1..=64,
                "Batches on their way to Redis at once, for HTTP and for syslog each",
            ),
        }
    }
}

fn sources(reader: &mut Reader) -> AllowedSources {
    let texts = reader.list(
        "INGEST_ALLOWED_SOURCES",
        "",
        "Networks and addresses that may send at all, as 10.0.0.0/8,2001:db8::/32; empty for any",
    );
    let parsed: Vec<Option<IpNet>> = texts.iter().map(|text| AllowedSources::parse_one(text)).collect();
    for (text, _) in texts.iter().zip(&parsed).filter(|(_, network)| network.is_none()) {
        reader.problem(
            "INGEST_ALLOWED_SOURCES",
            format!("must hold networks and addresses, and `{text}` is neither"),
        );
    }
    AllowedSources::new(parsed.into_iter().flatten().collect())
}

fn rate_limit(reader: &mut Reader) -> Option<RateLimit> {
    let enabled = reader.flag(
        "RATE_LIMIT_ENABLED",
        false,
        "Limit the HTTP requests that all ingestors together take in a window",
    );
    let permits = reader.number(
        "INGEST_MAX_RATE",
        1_000,
        1..=100_000_000,
        "Requests per window, for all ingestors together",
    );
    let window = reader.seconds("INGEST_RATE_WINDOW", 60, 1..=86_400, "Length of that window");
    enabled.then_some(RateLimit { permits, window })
}

impl SyslogSettings {
    fn read(reader: &mut Reader) -> Self {
        reader.section("syslog");
        let syslog = Self {
            udp: reader.socket("SYSLOG_UDP_BIND", "0.0.0.0:5514", "Syslog over UDP (RFC 5426)"),
            udp_sockets: reader.number(
                "SYSLOG_UDP_SOCKETS",
                1,
                1..=64,
                "Sockets that share the port; one per core when one core cannot keep up with many senders",
            ),
            udp_receive_buffer: size(reader.bytes(
                "SYSLOG_UDP_RECEIVE_BUFFER",
                16 * MIB,
                64 * KIB..=GIB,
                "What the kernel keeps for each socket in a burst; beyond net.core.rmem_max only for root",
            )),
            udp_buffer_bytes: size(reader.bytes(
                "SYSLOG_UDP_BUFFER",
                64 * MIB,
                MIB..=16 * GIB,
                "Events from UDP kept in memory while Redis is full or away; what comes beyond is lost and counted",
            )),
            tcp: reader.socket("SYSLOG_TCP_BIND", "0.0.0.0:5514", "Syslog over TCP (RFC 6587, both framings)"),
            tcp_connections: reader.number(
                "SYSLOG_TCP_MAX_CONNECTIONS",
                1_000,
                1..=100_000,
                "Most syslog connections at once; each may take INGEST_MAX_EVENT_BYTES and 64 KiB of memory",
            ),
            tcp_frame_timeout: reader.seconds(
                "SYSLOG_TCP_FRAME_TIMEOUT",
                30,
                1..=3600,
                "How long a sender may take for one message from its first byte; then it is cut off",
            ),
        };
        if syslog.udp.is_none() && syslog.tcp.is_none() {
            reader.warn("SYSLOG_TCP_BIND", "and SYSLOG_UDP_BIND are empty: no syslog is taken");
        }
        syslog
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(pairs: &[(&str, &str)]) -> Reader {
        let base = [("SECRETS_BACKEND", "file"), ("SECRETS_FILE", "/run/mutt/secrets")];
        let env = base.iter().chain(pairs).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Reader::load(None, env).unwrap().for_service("mutt-ingestor")
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let mut reader = reader(&[]);
        let settings = Settings::read(&mut reader);
        reader.finish().unwrap();
        assert_eq!(settings.listen.port(), 8080);
        assert_eq!(settings.syslog.udp, "0.0.0.0:5514".parse().ok());
        assert_eq!(settings.syslog.tcp, "0.0.0.0:5514".parse().ok());
        assert_eq!(settings.ingest.required_fields, ["hostname", "message", "timestamp"]);
        assert_eq!((settings.ingest.max_body_bytes, settings.ingest.max_event_bytes), (10 << 20, 64 << 10));
        assert_eq!(settings.ingest.rate_limit, None);
        let shown = |key: &str| {
            settings.in_force.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
        };
        assert_eq!(shown("MAX_INGEST_QUEUE_SIZE"), Some("1000000"));
    }

    #[test]
    fn listeners_can_be_turned_off_and_the_limiter_on() {
        let mut reader = reader(&[
            ("SYSLOG_UDP_BIND", ""),
            ("SYSLOG_TCP_BIND", ""),
            ("RATE_LIMIT_ENABLED", "true"),
            ("REQUIRED_FIELDS", ""),
            ("INGEST_ALLOWED_SOURCES", "10.0.0.0/8, 192.0.2.1"),
        ]);
        let settings = Settings::read(&mut reader);
        let report = reader.finish().unwrap();
        assert_eq!((settings.syslog.udp, settings.syslog.tcp), (None, None));
        assert_eq!(
            settings.ingest.rate_limit,
            Some(RateLimit { permits: 1000, window: Duration::from_secs(60) })
        );
        assert!(settings.ingest.sources.allow([192, 0, 2, 1].into()));
        assert!(!settings.ingest.sources.allow([192, 0, 2, 2].into()));
        assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
    }

    #[test]
    fn every_problem_is_found_at_once() {
        let mut reader = reader(&[
            ("SERVER_PORT_INGESTOR", "99999"),
            ("INGEST_MAX_BODY_BYTES", "32KiB"),
            ("INGEST_ALLOWED_SOURCES", "10.0.0.0/8,everybody"),
            ("SYSLOG_UDP_BIND", "5514"),
            ("INGEST_RATE_WINDOW", "0"),
        ]);
        Settings::read(&mut reader);
        let problems = reader.finish().unwrap_err();
        let mut keys: Vec<&str> = problems.0.iter().map(|problem| problem.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "INGEST_ALLOWED_SOURCES",
                "INGEST_MAX_EVENT_BYTES",
                "INGEST_RATE_WINDOW",
                "SERVER_PORT_INGESTOR",
                "SYSLOG_UDP_BIND"
            ]
        );
    }
}
