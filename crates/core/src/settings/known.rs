//! Every key of every MUTT service.
//!
//! One environment file serves all four services, so each must know the others' keys to tell a stranger from a typo.
//! A service that reads a key which is not listed here does not start; that is how this list stays complete.

/// Read by more than one service.
const SHARED: &[&str] = &[
    "ALERTER_DLQ_NAME",
    "ALERTER_HEARTBEAT_PREFIX",
    "ALERTER_PROCESSING_LIST_PREFIX",
    "ALERT_QUEUE_NAME",
    "BIND_ADDR",
    "DB_AUTO_MIGRATE",
    "DB_HOST",
    "DB_NAME",
    "DB_POOL_MAX_CONN",
    "DB_POOL_MIN_CONN",
    "DB_PORT",
    "DB_TLS_CA_CERT_PATH",
    "DB_TLS_ENABLED",
    "DB_TLS_MODE",
    "DB_USER",
    "DYNAMIC_CONFIG_ENABLED",
    "INGEST_QUEUE_NAME",
    "LOG_JSON_ENABLED",
    "LOG_LEVEL",
    "MAX_INGEST_QUEUE_SIZE",
    "METRICS_PREFIX",
    "MOOG_DLQ_NAME",
    "MOOG_HEARTBEAT_PREFIX",
    "MOOG_PROCESSING_LIST_PREFIX",
    "POD_NAME",
    "REDIS_CA_CERT_PATH",
    "REDIS_DB",
    "REDIS_HOST",
    "REDIS_MAX_CONNECTIONS",
    "REDIS_PORT",
    "REDIS_TLS_ENABLED",
    "SECRETS_BACKEND",
    "SECRETS_FILE",
    "SHUTDOWN_GRACE",
    "START_TIMEOUT",
    "UNHANDLED_PREFIX",
    "VAULT_ADDR",
    "VAULT_AUTH_MOUNT",
    "VAULT_CA_CERT_PATH",
    "VAULT_KV_MOUNT",
    "VAULT_KV_VERSION",
    "VAULT_NAMESPACE",
    "VAULT_RENEW_CHECK_INTERVAL",
    "VAULT_ROLE_ID",
    "VAULT_SECRETS_PATH",
    "VAULT_SECRET_ID_FILE",
    "VAULT_TIMEOUT",
    "VAULT_TOKEN_RENEW_THRESHOLD",
];

const INGESTOR: &[&str] = &[
    "INGEST_ALLOWED_SOURCES",
    "INGEST_MAX_BODY_BYTES",
    "INGEST_MAX_EVENT_BYTES",
    "INGEST_MAX_RATE",
    "INGEST_RATE_WINDOW",
    "INGEST_STREAMS",
    "INGEST_TLS_CERT_PATH",
    "INGEST_TLS_KEY_PATH",
    "RATE_LIMIT_ENABLED",
    "REQUIRED_FIELDS",
    "SERVER_PORT_INGESTOR",
    "SNMP_TRAP_BIND",
    "SYSLOG_TCP_BIND",
    "SYSLOG_TCP_FRAME_TIMEOUT",
    "SYSLOG_TCP_MAX_CONNECTIONS",
    "SYSLOG_TLS_BIND",
    "SYSLOG_TLS_CERT_PATH",
    "SYSLOG_TLS_CLIENT_CA_PATH",
    "SYSLOG_TLS_KEY_PATH",
    "SYSLOG_UDP_BIND",
    "SYSLOG_UDP_BUFFER",
    "SYSLOG_UDP_RECEIVE_BUFFER",
    "SYSLOG_UDP_SOCKETS",
];

const ALERTER: &[&str] = &[
    "ALERTER_BATCH_SIZE",
    "ALERTER_DEFER_SLEEP_MS",
    "ALERTER_HEARTBEAT_INTERVAL",
    "ALERTER_JANITOR_TIMEOUT",
    "ALERTER_LANES",
    "ALERTER_MAX_RETRIES",
    "ALERTER_QUEUE_SHED_THRESHOLD",
    "ALERTER_QUEUE_WARN_THRESHOLD",
    "ALERTER_SHED_MODE",
    "CACHE_RELOAD_INTERVAL",
    "HEALTH_PORT_ALERTER",
    "METRICS_PORT_ALERTER",
    "UNHANDLED_DEFAULT_TEAM",
    "UNHANDLED_EXPIRY_SECONDS",
    "UNHANDLED_THRESHOLD",
];

const MOOG_FORWARDER: &[&str] = &[
    "CIRCUIT_BREAKER_ENABLED",
    "CIRCUIT_BREAKER_THRESHOLD",
    "CIRCUIT_BREAKER_TIMEOUT",
    "HEALTH_PORT_MOOG",
    "MAX_POISON_RETRIES",
    "METRICS_PORT_MOOG",
    "MOOG_AUTH",
    "MOOG_BATCH_SIZE",
    "MOOG_CA_CERT_PATH",
    "MOOG_DIALECT",
    "MOOG_HEARTBEAT_INTERVAL",
    "MOOG_JANITOR_TIMEOUT",
    "MOOG_LANES",
    "MOOG_MAX_RETRIES",
    "MOOG_PROXY_URL",
    "MOOG_RATE_LIMIT",
    "MOOG_RATE_LIMIT_KEY",
    "MOOG_RATE_PERIOD",
    "MOOG_RETRY_BASE_DELAY",
    "MOOG_RETRY_MAX_DELAY",
    "MOOG_WEBHOOK_TIMEOUT",
    "MOOG_WEBHOOK_URL",
    "REMEDIATION_BATCH_SIZE",
    "REMEDIATION_ENABLED",
    "REMEDIATION_INTERVAL",
];

const WEB_UI: &[&str] = &[
    "AUDIT_LOG_PAGE_SIZE",
    "METRICS_CACHE_TTL",
    "PROMETHEUS_URL",
    "SERVER_PORT_WEBUI",
    "WEBUI_TLS_CERT_PATH",
    "WEBUI_TLS_KEY_PATH",
];

/// Names under `MUTT_` that other programs of ours use: where tests find servers that run already.
const FOREIGN_PREFIXES: [&str; 1] = ["MUTT_TEST_"];

fn all() -> impl Iterator<Item = &'static str> {
    [SHARED, INGESTOR, ALERTER, MOOG_FORWARDER, WEB_UI].into_iter().flatten().copied()
}

/// Whether some MUTT service has a setting of this name (upper case).
pub(super) fn is_known(key: &str) -> bool {
    all().any(|known| known == key)
}

/// Whether a variable under `MUTT_` is not meant as a setting.
///
/// For a Kubernetes Service `mutt-ingestor` every pod gets `MUTT_INGESTOR_SERVICE_HOST`, `MUTT_INGESTOR_PORT`,
/// `MUTT_INGESTOR_PORT_8080_TCP_ADDR` and more.
pub(super) fn is_foreign(key: &str) -> bool {
    if FOREIGN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
        return true;
    }
    key.ends_with("_SERVICE_HOST")
        || key.ends_with("_PORT")
        || key.contains("_SERVICE_PORT")
        || key.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// What to say about a key that nobody knows.
pub(super) fn unknown_key(key: &str) -> String {
    if super::mask::names_a_secret(key) {
        return "is not a setting; secrets come from Vault or from the file that SECRETS_FILE names"
            .to_owned();
    }
    match misspelt(key) {
        Some(meant) => format!("is not a setting of any MUTT service; was {meant} meant?"),
        None => "is not a setting of any MUTT service".to_owned(),
    }
}

/// The setting that `key` was probably meant to be.
pub(super) fn misspelt(key: &str) -> Option<&'static str> {
    // In a short name two changes make any other short name.
    if key.len() < 8 {
        return None;
    }
    let bare = key.strip_prefix("MUTT_").unwrap_or(key);
    all()
        .filter(|known| known.len().abs_diff(bare.len()) <= 2)
        .map(|known| (distance(known.as_bytes(), bare.as_bytes()), known))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, known)| known)
}

/// What to add when a port looks like the variable that Kubernetes makes for a Service of the same name.
pub(super) fn kubernetes_hint(key: &str, value: &str) -> String {
    if !key.ends_with("_PORT") || !(value.starts_with("tcp://") || value.starts_with("udp://")) {
        return String::new();
    }
    format!("; Kubernetes made this one for a Service: set {key} in the pod, or enableServiceLinks: false")
}

/// Levenshtein distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_key_is_listed_once() {
        let mut seen = BTreeSet::new();
        for key in all() {
            assert!(seen.insert(key), "{key} is listed twice");
            assert_eq!(key, key.to_ascii_uppercase());
        }
    }

    #[test]
    fn a_near_miss_is_told_from_a_stranger() {
        assert_eq!(misspelt("REDIS_HOTS"), Some("REDIS_HOST"));
        assert_eq!(misspelt("VAULT_SECRET_PATH"), Some("VAULT_SECRETS_PATH"));
        assert_eq!(misspelt("MUTT_REDIS_HOST"), Some("REDIS_HOST"));
        assert_eq!(misspelt("PATH"), None);
        assert_eq!(misspelt("HOSTNAME"), None);
        assert_eq!(misspelt("KUBERNETES_SERVICE_HOST"), None);
    }

    #[test]
    fn variables_that_kubernetes_makes_are_nobodys_fault() {
        for key in [
            "MUTT_INGESTOR_SERVICE_HOST",
            "MUTT_INGESTOR_SERVICE_PORT",
            "MUTT_INGESTOR_SERVICE_PORT_HTTP",
            "MUTT_INGESTOR_PORT",
            "MUTT_INGESTOR_PORT_8080_TCP",
            "MUTT_INGESTOR_PORT_8080_TCP_ADDR",
            "MUTT_TEST_REDIS_URL",
        ] {
            assert!(is_foreign(key), "{key}");
        }
        assert!(!is_foreign("MUTT_LOG_LEVEL"));
    }
}
