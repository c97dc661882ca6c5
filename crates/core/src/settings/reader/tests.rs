//! The reader's promises: all problems at once, nothing unknown, nothing shown that is secret.

use super::*;
use crate::settings::{
    http::{HttpSettings, TlsFiles, TlsKeys},
    postgres::{DbTlsMode, PostgresSettings},
    process::ProcessSettings,
    queue::{QueueSettings, StageSettings},
    redis::RedisSettings,
    telemetry::TelemetrySettings,
    vault::{SecretsBackend, SecretsSettings},
};

fn reader(env: &[(&str, &str)]) -> Reader {
    let env: Vec<_> = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Reader::load(None, env.into_iter()).unwrap()
}

fn read_all(reader: &mut Reader) {
    ProcessSettings::read(reader);
    TelemetrySettings::read(reader);
    RedisSettings::read(reader);
    PostgresSettings::read(reader);
    SecretsSettings::read(reader);
    QueueSettings::read(reader);
    StageSettings::alerter(reader);
    StageSettings::moog(reader);
    let http = HttpSettings::read(reader);
    http.listener(reader, "SERVER_PORT_INGESTOR", 8080, "Port");
    TlsFiles::read(
        reader,
        TlsKeys { cert: "INGEST_TLS_CERT_PATH", key: "INGEST_TLS_KEY_PATH", client_ca: None },
    );
}

const VAULT: [(&str, &str); 2] = [("VAULT_ADDR", "https://vault:8200"), ("VAULT_ROLE_ID", "3f1c")];

#[test]
fn every_problem_is_told_at_once_with_value_range_and_origin() {
    let mut reader = reader(&[
        ("REDIS_PORT", "99999"),
        ("LOG_JSON_ENABLED", "maybe"),
        ("SHUTDOWN_GRACE", "0"),
        ("DB_TLS_MODE", "prefer"),
        ("DB_POOL_MIN_CONN", "20"),
        ("VAULT_ADDR", "vault:8200"),
        ("MUTT_TYPO", "x"),
    ]);
    read_all(&mut reader);
    let problems = reader.finish().unwrap_err();
    let text = problems.to_string();
    for line in [
        "REDIS_PORT = \"99999\" (environment): must be a whole number from 1 to 65535",
        "LOG_JSON_ENABLED = \"maybe\" (environment): must be true, 1, yes, on or false, 0, no, off",
        "SHUTDOWN_GRACE = \"0\" (environment): must be a time from 1s to 1h",
        "DB_TLS_MODE = \"prefer\" (environment): must be one of disable, require, verify-full",
        "DB_POOL_MAX_CONN = \"10\" (default): must be at least DB_POOL_MIN_CONN, which is 20",
        "VAULT_ADDR = \"vault:8200\" (environment): must be a URL",
        "VAULT_ROLE_ID (default): must be set",
        "MUTT_TYPO (environment): is not a setting of any MUTT service",
    ] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
    assert_eq!(problems.0.len(), 8, "{text}");
}

#[test]
fn with_nothing_set_the_originals_defaults_hold() {
    let mut reader = reader(&VAULT).for_service("mutt-alerter");
    read_all(&mut reader);
    let report = reader.finish().unwrap();
    for (key, value) in [
        ("REDIS_HOST", "localhost"),
        ("REDIS_PORT", "6379"),
        ("REDIS_TLS_ENABLED", "false"),
        ("DB_NAME", "mutt_db"),
        ("DB_TLS_MODE", "disable"),
        ("VAULT_SECRETS_PATH", "mutt/prod"),
        ("VAULT_TOKEN_RENEW_THRESHOLD", "1h"),
        ("INGEST_QUEUE_NAME", "mutt:ingest_queue"),
        ("ALERTER_MAX_RETRIES", "3"),
        ("MOOG_MAX_RETRIES", "5"),
        ("BIND_ADDR", "0.0.0.0"),
        ("LOG_LEVEL", "INFO"),
    ] {
        assert_eq!(report.entry(key).unwrap().value, value, "{key}");
        assert_eq!(report.entry(key).unwrap().origin, Origin::Default, "{key}");
    }
    let pod_name = &report.entry("POD_NAME").unwrap().value;
    assert!(pod_name.starts_with("alerter-") && pod_name.len() == "alerter-".len() + 6, "{pod_name}");
    assert_eq!(report.warnings, []);
}

#[test]
fn tls_is_on_for_other_machines_and_off_for_this_one() {
    let mut remote = reader(&[("REDIS_HOST", "redis.example.com"), ("DB_HOST", "10.0.0.5")]);
    assert!(RedisSettings::read(&mut remote).tls);
    assert_eq!(PostgresSettings::read(&mut remote).tls, DbTlsMode::Require);
    let mut with_ca = reader(&[("DB_HOST", "10.0.0.5"), ("DB_TLS_CA_CERT_PATH", "/ca.pem")]);
    assert_eq!(PostgresSettings::read(&mut with_ca).tls, DbTlsMode::VerifyFull);
    let mut socket = reader(&[("REDIS_HOST", "/run/redis.sock"), ("DB_HOST", "/run/postgresql")]);
    assert!(!RedisSettings::read(&mut socket).tls);
    assert_eq!(PostgresSettings::read(&mut socket).tls, DbTlsMode::Disable);
}

#[test]
fn the_originals_switch_for_tls_still_works_and_the_new_one_wins() {
    let mut on = reader(&[("DB_TLS_ENABLED", "true")]);
    assert_eq!(PostgresSettings::read(&mut on).tls, DbTlsMode::Require);
    let mut off = reader(&[("DB_HOST", "db"), ("DB_TLS_ENABLED", "no")]);
    assert_eq!(PostgresSettings::read(&mut off).tls, DbTlsMode::Disable);
    assert!(off.finish().unwrap().warnings.iter().any(|note| note.key == "DB_TLS_MODE"));
    let mut both = reader(&[("DB_TLS_ENABLED", "false"), ("DB_TLS_MODE", "verify-full")]);
    assert_eq!(PostgresSettings::read(&mut both).tls, DbTlsMode::VerifyFull);
}

#[test]
fn dangerous_settings_are_warned_about() {
    let mut reader = reader(&[("REDIS_HOST", "redis"), ("REDIS_TLS_ENABLED", "false"), ("REDIS_HOTS", "x")]);
    RedisSettings::read(&mut reader);
    let report = reader.finish().unwrap();
    let keys: Vec<_> = report.warnings.iter().map(|note| note.key.as_str()).collect();
    assert_eq!(keys, ["REDIS_HOTS", "REDIS_TLS_ENABLED"]);
}

#[test]
fn one_environment_file_may_serve_all_services() {
    let mut reader =
        reader(&[("SYSLOG_UDP_BIND", ""), ("MOOG_DIALECT", "cloud"), ("PROMETHEUS_URL", "http://p:9090")]);
    RedisSettings::read(&mut reader);
    assert!(reader.finish().is_ok());
}

#[test]
fn a_value_is_taken_exactly_as_written() {
    let mut reader = reader(&[("DB_NAME", "007"), ("DB_USER", "1.50"), ("POD_NAME", " pod 1 ")]);
    let postgres = PostgresSettings::read(&mut reader);
    assert_eq!((postgres.database.as_str(), postgres.user.as_str()), ("007", "1.50"));
    assert_eq!(ProcessSettings::read(&mut reader).pod_name, "pod 1");
}

#[test]
fn empty_means_the_default_except_where_it_means_off() {
    let mut reader = reader(&[("REDIS_PORT", ""), ("SYSLOG_UDP_BIND", ""), ("REQUIRED_FIELDS", " ")]);
    assert_eq!(reader.number("REDIS_PORT", 6379, 1..=u16::MAX, "Port"), 6379);
    assert_eq!(reader.socket("SYSLOG_UDP_BIND", "0.0.0.0:5514", "Syslog"), None);
    assert_eq!(reader.socket("SYSLOG_TCP_BIND", "0.0.0.0:5514", "Syslog"), "0.0.0.0:5514".parse().ok());
    assert_eq!(reader.socket("SYSLOG_TLS_BIND", "", "Syslog"), None);
    assert_eq!(reader.list("REQUIRED_FIELDS", "hostname,message", "Fields"), Vec::<String>::new());
    assert_eq!(reader.list("INGEST_ALLOWED_SOURCES", "10.0.0.0/8, ::1", "Networks"), ["10.0.0.0/8", "::1"]);
    let report = reader.finish().unwrap();
    assert_eq!(report.entry("SYSLOG_UDP_BIND").unwrap().origin, Origin::Environment);
}

#[test]
fn secrets_never_show() {
    let mut reader = reader(&[
        ("VAULT_ADDR", "https://root:hunter2@vault:8200"),
        ("VAULT_ROLE_ID", "hunter2"),
        ("REDIS_PORT", "x"),
    ]);
    read_all(&mut reader);
    for entry in reader.entries() {
        assert!(!entry.value.contains("hunter2"), "{entry:?}");
    }
    assert!(!reader.finish().unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn a_port_made_by_kubernetes_is_explained() {
    let mut reader =
        reader(&[("REDIS_PORT", "tcp://10.96.0.9:6379"), ("MUTT_INGESTOR_SERVICE_PORT", "8080")]);
    RedisSettings::read(&mut reader);
    let problems = reader.finish().unwrap_err();
    assert_eq!(problems.0.len(), 1);
    assert!(problems.to_string().contains("enableServiceLinks"), "{problems}");
}

#[test]
fn a_key_that_is_not_listed_cannot_be_read() {
    let mut reader = reader(&[]);
    reader.text("NOT_LISTED", "", "Nothing");
    assert!(reader.finish().unwrap_err().to_string().contains("known.rs"));
}

#[test]
fn half_a_certificate_is_a_problem() {
    let keys = TlsKeys {
        cert: "SYSLOG_TLS_CERT_PATH",
        key: "SYSLOG_TLS_KEY_PATH",
        client_ca: Some("SYSLOG_TLS_CLIENT_CA_PATH"),
    };
    let mut half = reader(&[("SYSLOG_TLS_CERT_PATH", "/c.pem")]);
    assert_eq!(TlsFiles::read(&mut half, keys), None);
    assert!(half.finish().unwrap_err().to_string().contains("SYSLOG_TLS_KEY_PATH"));
    let mut ca_only = reader(&[("SYSLOG_TLS_CLIENT_CA_PATH", "/ca.pem")]);
    assert_eq!(TlsFiles::read(&mut ca_only, keys), None);
    assert!(ca_only.finish().is_err());
}

#[test]
fn a_heartbeat_must_fit_twice_into_the_lease() {
    let mut reader = reader(&[("ALERTER_HEARTBEAT_INTERVAL", "20")]);
    StageSettings::alerter(&mut reader);
    assert!(reader.finish().unwrap_err().to_string().contains("half of ALERTER_JANITOR_TIMEOUT"));
}

#[test]
fn queue_names_reach_the_pipeline() {
    let mut reader = reader(&[("INGEST_QUEUE_NAME", "q:in"), ("MOOG_PROCESSING_LIST_PREFIX", "q:hand")]);
    let pipeline = QueueSettings::read(&mut reader).pipeline();
    assert_eq!(pipeline.alerter.queue, "q:in");
    assert_eq!(pipeline.dlq_alerter.downstream, "q:in");
    assert_eq!(pipeline.moog.processing("w"), "q:hand:w");
    assert_eq!(pipeline.alerter.heartbeat("w"), "mutt:heartbeat:alerter:w");
}

#[test]
fn the_secrets_may_be_in_a_file() {
    let mut file = reader(&[("SECRETS_BACKEND", "FILE"), ("SECRETS_FILE", "/run/secrets")]);
    assert_eq!(SecretsSettings::read(&mut file).backend, SecretsBackend::File("/run/secrets".into()));
    assert!(file.finish().is_ok());
    let mut none = reader(&[("SECRETS_BACKEND", "file")]);
    SecretsSettings::read(&mut none);
    assert!(none.finish().is_err());
}

#[test]
fn what_is_in_force_can_be_read_back() {
    let mut first = reader(&[
        ("VAULT_ADDR", "https://vault:8200"),
        ("SHUTDOWN_GRACE", "90"),
        ("DB_NAME", "a \"b\" \\ c"),
        ("SECRETS_BACKEND", "file"),
        ("SECRETS_FILE", "/s"),
    ]);
    read_all(&mut first);
    let printed = first.finish().unwrap().in_force();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mutt.toml");
    std::fs::write(&path, &printed).unwrap();
    let mut second = Reader::load(Some(&path), std::iter::empty()).unwrap();
    read_all(&mut second);
    let again = second.finish().unwrap();
    assert_eq!(again.entry("DB_NAME").unwrap().value, "a \"b\" \\ c");
    assert_eq!(again.entry("SHUTDOWN_GRACE").unwrap().value, "90");
    let columns: Vec<_> = printed.lines().filter_map(|line| line.find(" = ")).collect();
    assert!(columns.windows(2).all(|pair| pair[0] == pair[1]), "{printed}");
}

#[test]
fn a_section_that_is_read_twice_tells_its_problems_once() {
    let mut reader = reader(&[("LOG_LEVEL", "loud"), ("REDIS_HOST", "redis"), ("REDIS_TLS_ENABLED", "no")]);
    for _ in 0..2 {
        TelemetrySettings::read(&mut reader);
        RedisSettings::read(&mut reader);
    }
    assert_eq!(reader.warnings.len(), 2);
    assert_eq!(reader.finish().unwrap_err().0.len(), 1);
}
