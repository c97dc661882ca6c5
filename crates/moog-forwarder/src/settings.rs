//! What the forwarder can be told. Names and defaults are the original's; the rest is marked in its documentation.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use mutt_core::{
    redis::{breaker::BreakerSettings, rate_limiter::RateLimit},
    settings::{
        Reader,
        http::HttpSettings,
        process::ProcessSettings,
        queue::{QueueSettings, StageSettings},
        redis::RedisSettings,
        vault::SecretsSettings,
    },
};
use reqwest::Url;

use crate::{client::AuthForm, payload::Dialect, worker::RetrySettings};

/// How long the breaker stays open the first time, unless its longest time is shorter.
const OPEN_MIN: Duration = Duration::from_secs(5);
/// What a probe may take beyond the webhook's time-out before it counts as dead.
const PROBE_MARGIN: Duration = Duration::from_secs(5);
/// What finishing an alert takes beyond the webhook's time-out, at worst.
const SETTLE_MARGIN: Duration = Duration::from_secs(5);

/// Everything the forwarder needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name and patience of the process.
    pub process: ProcessSettings,
    /// Where the queues are.
    pub redis: RedisSettings,
    /// Where the key is.
    pub secrets: SecretsSettings,
    /// The queues' names.
    pub queue: QueueSettings,
    /// How alerts are taken.
    pub stage: StageSettings,
    /// Where metrics are served.
    pub metrics_addr: SocketAddr,
    /// Where health is served.
    pub health_addr: SocketAddr,
    /// How Moogsoft is reached.
    pub moog: MoogSettings,
    /// How much is sent and when it stops.
    pub sending: SendSettings,
}

impl Settings {
    /// Reads all sections.
    pub fn read(reader: &mut Reader) -> Self {
        let process = ProcessSettings::read(reader);
        let redis = RedisSettings::read(reader);
        let secrets = SecretsSettings::read(reader);
        let queue = QueueSettings::read(reader);
        let http = HttpSettings::read(reader);
        let stage = StageSettings::moog(reader);
        let metrics_addr =
            http.listener(reader, "METRICS_PORT_MOOG", 8083, "Port of /metrics; 0 for a free one");
        let health_addr =
            http.listener(reader, "HEALTH_PORT_MOOG", 8084, "Port of /health; 0 for a free one");
        if metrics_addr.port() == health_addr.port() && metrics_addr.port() != 0 {
            reader.problem("HEALTH_PORT_MOOG", "must differ from METRICS_PORT_MOOG");
        }
        let moog = MoogSettings::read(reader);
        let sending = SendSettings::read(reader, moog.timeout, stage.max_retries);
        if stage.lease < 2 * (moog.timeout + SETTLE_MARGIN) {
            reader.warn(
                "MOOG_JANITOR_TIMEOUT",
                "is less than twice MOOG_WEBHOOK_TIMEOUT and 10 s: a slow answer may make another instance send the same alert",
            );
        }
        Self { process, redis, secrets, queue, stage, metrics_addr, health_addr, moog, sending }
    }
}

/// How Moogsoft is reached.
#[derive(Debug, Clone)]
pub struct MoogSettings {
    /// Where alerts go; `None` when the setting is not an address, which is reported as a problem.
    pub url: Option<Url>,
    /// How long one send may take.
    pub timeout: Duration,
    /// What the body looks like.
    pub dialect: Dialect,
    /// How the key is presented.
    pub auth: AuthForm,
    /// Certificates to trust besides the system's.
    pub ca_cert: Option<PathBuf>,
    /// A proxy to go through.
    pub proxy: Option<Url>,
}

/// How much is sent and when it stops.
#[derive(Debug, Clone)]
pub struct SendSettings {
    /// The shared limit.
    pub limit: RateLimit,
    /// Its key in Redis.
    pub limit_key: String,
    /// When a failed alert is tried again.
    pub retries: RetrySettings,
    /// The shared breaker; `None` when it is switched off.
    pub breaker: Option<BreakerSettings>,
}

impl MoogSettings {
    fn read(reader: &mut Reader) -> Self {
        reader.section("moogsoft");
        let url = reader.url(
            "MOOG_WEBHOOK_URL",
            "https://moogsoft.example.com/api/v1/events",
            "Address that alerts are posted to",
        );
        let timeout =
            reader.seconds("MOOG_WEBHOOK_TIMEOUT", 10, 1..=120, "How long one POST may take in all");
        let dialect = reader.choice(
            "MOOG_DIALECT",
            "webhook",
            &[("webhook", Dialect::Webhook), ("cloud", Dialect::Cloud)],
            "webhook: on-premises fields, one object; cloud: fields of the Events API, an array",
        );
        let auth = reader.choice(
            "MOOG_AUTH",
            "bearer",
            &[("bearer", AuthForm::Bearer), ("apikey", AuthForm::ApiKey), ("basic", AuthForm::Basic)],
            "How the secret MOOG_API_KEY is presented; for basic it holds user:password",
        );
        let ca_cert =
            reader.path("MOOG_CA_CERT_PATH", "", "Certificates to trust besides the system's, in PEM");
        let proxy = reader.url("MOOG_PROXY_URL", "", "HTTP proxy to reach Moogsoft through; none when empty");
        if url.starts_with("http://") && !is_loopback(&url) {
            reader.warn("MOOG_WEBHOOK_URL", "is not https: the key and all alerts can be read on the way");
        }
        if dialect == Dialect::Cloud && auth == AuthForm::Bearer {
            reader.warn("MOOG_AUTH", "is bearer, but the cloud's Events API asks for apikey");
        }
        Self { url: url.parse().ok(), timeout, dialect, auth, ca_cert, proxy: proxy.parse().ok() }
    }
}

impl SendSettings {
    fn read(reader: &mut Reader, timeout: Duration, max_retries: u32) -> Self {
        reader.section("sending");
        let limit = RateLimit {
            permits: reader.number(
                "MOOG_RATE_LIMIT",
                50,
                0..=1_000_000,
                "Most alerts in any MOOG_RATE_PERIOD, all instances together; 0 for no limit",
            ),
            window: reader.seconds(
                "MOOG_RATE_PERIOD",
                1,
                1..=3_600,
                "Length of the window of MOOG_RATE_LIMIT",
            ),
        };
        let limit_key =
            reader.text("MOOG_RATE_LIMIT_KEY", "mutt:rate_limit:moog", "Key of the shared limit in Redis");
        let retries = RetrySettings {
            max_retries,
            base: reader.seconds(
                "MOOG_RETRY_BASE_DELAY",
                1,
                1..=600,
                "Longest wait before the first retry; doubles",
            ),
            max: reader.seconds("MOOG_RETRY_MAX_DELAY", 60, 1..=3_600, "Longest wait before any retry"),
        };
        if retries.max < retries.base {
            reader.problem("MOOG_RETRY_MAX_DELAY", "must not be below MOOG_RETRY_BASE_DELAY");
        }
        let breaker = Self::read_breaker(reader, timeout);
        Self { limit, limit_key, retries, breaker }
    }

    fn read_breaker(reader: &mut Reader, timeout: Duration) -> Option<BreakerSettings> {
        let enabled =
            reader.flag("CIRCUIT_BREAKER_ENABLED", true, "Stop sending while Moogsoft does not answer");
        let threshold =
            reader.number("CIRCUIT_BREAKER_THRESHOLD", 10, 1..=10_000, "Failures in a row that stop sending");
        let open_max = reader.seconds(
            "CIRCUIT_BREAKER_TIMEOUT",
            300,
            1..=86_400,
            "Longest time between two tries while stopped; the first comes after 5 s",
        );
        if !enabled {
            reader.warn(
                "CIRCUIT_BREAKER_ENABLED",
                "is off: an outage of Moogsoft uses up the retries of alerts, which then become dead letters",
            );
        }
        enabled.then(|| breaker(threshold, open_max, timeout))
    }
}

/// A breaker's settings from those that people know.
#[must_use]
pub fn breaker(threshold: u32, open_max: Duration, timeout: Duration) -> BreakerSettings {
    BreakerSettings {
        threshold,
        open_min: OPEN_MIN.min(open_max),
        open_max,
        probe_slot: timeout + PROBE_MARGIN,
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.parse::<Url>().ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> (Settings, Result<Vec<String>, Vec<String>>) {
        let base = [("SECRETS_BACKEND", "file"), ("SECRETS_FILE", "/dev/null")];
        let env = base.iter().chain(env).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut reader = Reader::load(None, env).unwrap();
        let settings = Settings::read(&mut reader);
        let report = match reader.finish() {
            Ok(report) => Ok(report.warnings.into_iter().map(|note| note.key).collect()),
            Err(problems) => Err(problems.0.into_iter().map(|problem| problem.key).collect()),
        };
        (settings, report)
    }

    #[test]
    fn the_defaults_are_the_originals() {
        let (settings, report) = read(&[]);
        assert_eq!(report, Ok(vec![]));
        assert_eq!((settings.metrics_addr.port(), settings.health_addr.port()), (8083, 8084));
        assert_eq!(settings.moog.url.unwrap().as_str(), "https://moogsoft.example.com/api/v1/events");
        assert_eq!(settings.moog.timeout, Duration::from_secs(10));
        assert_eq!(settings.sending.limit, RateLimit { permits: 50, window: Duration::from_secs(1) });
        assert_eq!(settings.sending.limit_key, "mutt:rate_limit:moog");
        assert_eq!((settings.stage.max_retries, settings.stage.lanes, settings.stage.batch), (5, 64, 1));
        let breaker = settings.sending.breaker.unwrap();
        assert_eq!((breaker.threshold, breaker.open_max), (10, Duration::from_mins(5)));
        assert_eq!((breaker.open_min, breaker.probe_slot), (Duration::from_secs(5), Duration::from_secs(15)));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let (_, report) = read(&[
            ("MOOG_WEBHOOK_URL", "moog"),
            ("MOOG_DIALECT", "klingon"),
            ("MOOG_RATE_LIMIT", "-1"),
            ("MOOG_RETRY_BASE_DELAY", "90"),
            ("HEALTH_PORT_MOOG", "8083"),
        ]);
        let mut keys = report.unwrap_err();
        keys.sort();
        let expected = [
            "HEALTH_PORT_MOOG",
            "MOOG_DIALECT",
            "MOOG_RATE_LIMIT",
            "MOOG_RETRY_MAX_DELAY",
            "MOOG_WEBHOOK_URL",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn what_is_dangerous_is_said() {
        let warnings = |env: &[(&str, &str)]| read(env).1.unwrap();
        assert_eq!(warnings(&[("MOOG_WEBHOOK_URL", "http://moog/x")]), ["MOOG_WEBHOOK_URL"]);
        assert!(warnings(&[("MOOG_WEBHOOK_URL", "http://127.0.0.1:1/x")]).is_empty());
        assert!(warnings(&[("MOOG_WEBHOOK_URL", "http://[::1]:1/x")]).is_empty());
        assert_eq!(warnings(&[("MOOG_DIALECT", "cloud")]), ["MOOG_AUTH"]);
        assert_eq!(warnings(&[("CIRCUIT_BREAKER_ENABLED", "no")]), ["CIRCUIT_BREAKER_ENABLED"]);
        assert_eq!(warnings(&[("MOOG_WEBHOOK_TIMEOUT", "60")]), ["MOOG_JANITOR_TIMEOUT"]);
    }
}
