//! The settings that the services of a stack run with, by the names that any MUTT is set up with.

use std::path::Path;

use super::ports::Ports;
use super::servers::SECRETS_PATH;

/// How the services get their secrets.
#[derive(Debug, Clone)]
pub(crate) enum SecretsFrom<'a> {
    /// A file that only its owner can read.
    File(&'a Path),
    /// A private Vault, by `AppRole`.
    Vault { address: String, role_id: String, secret_id_file: &'a Path },
}

/// Name and value of each setting, the same for all four services: each takes what it knows.
///
/// Everything else keeps its default or what our own environment says.
pub(crate) fn settings(
    ports: &Ports,
    database: &str,
    webhook: &str,
    secrets: &SecretsFrom<'_>,
) -> Vec<(String, String)> {
    let local = |port: u16| format!("127.0.0.1:{port}");
    let mut settings = vec![
        ("BIND_ADDR", "127.0.0.1".to_owned()),
        ("SERVER_PORT_INGESTOR", ports.ingest.to_string()),
        ("SYSLOG_UDP_BIND", local(ports.syslog)),
        ("SYSLOG_TCP_BIND", local(ports.syslog)),
        ("METRICS_PORT_ALERTER", ports.alerter_metrics.to_string()),
        ("HEALTH_PORT_ALERTER", ports.alerter_health.to_string()),
        ("METRICS_PORT_MOOG", ports.forwarder_metrics.to_string()),
        ("HEALTH_PORT_MOOG", ports.forwarder_health.to_string()),
        ("DYNAMIC_CONFIG_ENABLED", "true".to_owned()),
        ("SERVER_PORT_WEBUI", ports.console.to_string()),
        ("REDIS_HOST", "127.0.0.1".to_owned()),
        ("REDIS_PORT", ports.redis.to_string()),
        ("REDIS_TLS_ENABLED", "false".to_owned()),
        ("DB_HOST", "127.0.0.1".to_owned()),
        ("DB_PORT", ports.postgres.to_string()),
        ("DB_NAME", database.to_owned()),
        ("DB_TLS_MODE", "disable".to_owned()),
        ("MOOG_WEBHOOK_URL", webhook.to_owned()),
    ];
    match secrets {
        SecretsFrom::File(path) => {
            settings.push(("SECRETS_BACKEND", "file".to_owned()));
            settings.push(("SECRETS_FILE", path.display().to_string()));
        }
        SecretsFrom::Vault { address, role_id, secret_id_file } => {
            settings.push(("SECRETS_BACKEND", "vault".to_owned()));
            settings.push(("VAULT_ADDR", address.clone()));
            settings.push(("VAULT_ROLE_ID", role_id.clone()));
            settings.push(("VAULT_SECRET_ID_FILE", secret_id_file.display().to_string()));
            settings.push(("VAULT_SECRETS_PATH", SECRETS_PATH.to_owned()));
        }
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
