//! What the alerter reads from its settings.

use std::{net::SocketAddr, time::Duration};

use mutt_core::settings::{
    Reader,
    http::HttpSettings,
    postgres::PostgresSettings,
    process::ProcessSettings,
    queue::{QueueSettings, StageSettings},
    redis::RedisSettings,
    vault::SecretsSettings,
};

/// Everything the alerter needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name and patience of the process.
    pub process: ProcessSettings,
    /// Where the queues are.
    pub redis: RedisSettings,
    /// Where rules and audit are.
    pub postgres: PostgresSettings,
    /// Where the passwords are.
    pub secrets: SecretsSettings,
    /// The queues' names.
    pub queue: QueueSettings,
    /// How events are taken.
    pub stage: StageSettings,
    /// Where metrics are served.
    pub metrics_addr: SocketAddr,
    /// Where health is served.
    pub health_addr: SocketAddr,
    /// Rules, unhandled messages, back-pressure.
    pub rules: RuleSettings,
}

/// The settings that live settings may override, and their neighbours.
#[derive(Debug, Clone)]
pub struct RuleSettings {
    /// How often rules, hosts and teams are read anew, changed or not.
    pub reload_interval: Duration,
    /// Beginning of the names of the counters of unhandled messages.
    pub unhandled_prefix: String,
    /// Unhandled messages of one shape from one host that make a meta-alert.
    pub unhandled_threshold: u64,
    /// Within how long.
    pub unhandled_expiry: Duration,
    /// The team of a host that is on no list.
    pub unhandled_team: String,
    /// Alerts on the alert queue above which people are warned.
    pub warn_depth: u64,
    /// Alerts on the alert queue from which on no event is taken.
    pub full_depth: u64,
    /// How long to wait before the alert queue is looked at again.
    pub defer: Duration,
    /// Tries after the first, of an event whose decision fails.
    pub max_retries: u32,
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
        let stage = StageSettings::alerter(reader);
        let metrics_addr =
            http.listener(reader, "METRICS_PORT_ALERTER", 8081, "Port of /metrics; 0 for a free one");
        let health_addr =
            http.listener(reader, "HEALTH_PORT_ALERTER", 8082, "Port of /health; 0 for a free one");
        if metrics_addr.port() == health_addr.port() && metrics_addr.port() != 0 {
            reader.problem("HEALTH_PORT_ALERTER", "must differ from METRICS_PORT_ALERTER");
        }
        let rules = RuleSettings::read(reader, stage.max_retries);
        // One connection always listens for changed rules; each lane writes on one of its own.
        let wanted = u32::try_from(stage.lanes).unwrap_or(u32::MAX).saturating_add(2);
        if postgres.pool_max < 2 {
            reader
                .problem("DB_POOL_MAX_CONN", "must be at least 2: one connection listens for changed rules");
        } else if postgres.pool_max < wanted {
            reader.warn(
                "DB_POOL_MAX_CONN",
                format!("is below {wanted}, so the lanes (ALERTER_LANES) wait for each other"),
            );
        }
        Self { process, redis, postgres, secrets, queue, stage, metrics_addr, health_addr, rules }
    }
}

impl RuleSettings {
    fn read(reader: &mut Reader, max_retries: u32) -> Self {
        let settings = Self {
            reload_interval: reader.seconds(
                "CACHE_RELOAD_INTERVAL",
                300,
                1..=86_400,
                "Rules, development hosts and teams are read anew this often, besides at once when they change",
            ),
            unhandled_prefix: reader.text(
                "UNHANDLED_PREFIX",
                "mutt:unhandled",
                "Beginning of the names of the counters of unhandled messages",
            ),
            unhandled_threshold: reader.number(
                "UNHANDLED_THRESHOLD",
                100,
                1..=1_000_000_000,
                "Unhandled messages of one shape from one host that make a meta-alert",
            ),
            unhandled_expiry: reader.seconds(
                "UNHANDLED_EXPIRY_SECONDS",
                86_400,
                1..=31_536_000,
                "Within how long; and how long until the same shape may alert again",
            ),
            unhandled_team: reader.text(
                "UNHANDLED_DEFAULT_TEAM",
                "NETO",
                "The team that hears of unhandled messages of a host without a team",
            ),
            warn_depth: reader.number(
                "ALERTER_QUEUE_WARN_THRESHOLD",
                1000,
                1..=100_000_000,
                "Alerts on the alert queue above which the alerter warns",
            ),
            full_depth: reader.number(
                "ALERTER_QUEUE_SHED_THRESHOLD",
                2000,
                1..=100_000_000,
                "Alerts on the alert queue from which on the alerter takes no event; nothing is thrown away",
            ),
            defer: reader.millis(
                "ALERTER_DEFER_SLEEP_MS",
                250,
                1..=60_000,
                "How long the alerter then waits before it looks again",
            ),
            max_retries,
        };
        // Read so that a wrong word is told; both words mean the same.
        reader.choice(
            "ALERTER_SHED_MODE",
            "defer",
            &[("defer", ()), ("dlq", ())],
            "What happens to events at the limit above: they wait. dlq is accepted and means the same",
        );
        if settings.warn_depth > settings.full_depth {
            reader.warn(
                "ALERTER_QUEUE_WARN_THRESHOLD",
                "is above ALERTER_QUEUE_SHED_THRESHOLD, so nobody is warned in time",
            );
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let file = [("SECRETS_BACKEND", "file"), ("SECRETS_FILE", "/run/secrets")];
        let env = file.iter().chain(pairs).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut reader = Reader::load(None, env).unwrap();
        Settings::read(&mut reader);
        match reader.finish() {
            Ok(report) => report.warnings.iter().map(|warning| warning.key.clone()).collect(),
            Err(problems) => problems.0.iter().map(|problem| problem.key.clone()).collect(),
        }
    }

    #[test]
    fn defaults_are_the_originals_and_raise_nothing() {
        assert_eq!(problems(&[]), [""; 0]);
    }

    #[test]
    fn what_cannot_work_is_a_problem_and_what_is_dangerous_a_warning() {
        assert_eq!(problems(&[("DB_POOL_MIN_CONN", "1"), ("DB_POOL_MAX_CONN", "1")]), ["DB_POOL_MAX_CONN"]);
        assert_eq!(problems(&[("DB_POOL_MAX_CONN", "4")]), ["DB_POOL_MAX_CONN"]);
        assert_eq!(problems(&[("ALERTER_QUEUE_WARN_THRESHOLD", "3000")]), ["ALERTER_QUEUE_WARN_THRESHOLD"]);
        assert_eq!(
            problems(&[
                ("HEALTH_PORT_ALERTER", "8081"),
                ("ALERTER_SHED_MODE", "drop"),
                ("UNHANDLED_THRESHOLD", "0")
            ])
            .len(),
            3
        );
    }
}
