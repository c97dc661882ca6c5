//! How the source of the secrets is doing, as Prometheus sees it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounterVec, IntGauge, Opts};

use super::VaultOperation;

/// One set of metrics per opened source; clones share it.
#[derive(Clone, Debug)]
pub(super) struct SecretsMetrics {
    token_ttl: Gauge,
    age: Gauge,
    source_up: IntGauge,
    failures: IntCounterVec,
    moments: Arc<Mutex<Moments>>,
}

#[derive(Debug)]
struct Moments {
    last_read: Instant,
    token_expires: Option<Instant>,
}

impl SecretsMetrics {
    pub(super) fn new() -> Self {
        let failures = IntCounterVec::new(
            Opts::new(
                "mutt_secrets_failures_total",
                "Failed attempts to read secrets or to keep the Vault token",
            ),
            &["operation"],
        )
        .expect("a constant, valid name");
        for operation in [VaultOperation::LogIn, VaultOperation::Renew, VaultOperation::Read] {
            failures.with_label_values(&[operation.as_label()]);
        }
        Self {
            token_ttl: gauge(
                "mutt_vault_token_ttl_seconds",
                "Seconds until the Vault token expires unless it is renewed; 0 without a token",
            ),
            age: gauge("mutt_secrets_age_seconds", "Seconds since the secrets were last read successfully"),
            source_up: IntGauge::new(
                "mutt_secrets_source_up",
                "1 when the last attempt to read the secrets succeeded, else 0 and the values last read are in use",
            )
            .expect("a constant, valid name"),
            failures,
            moments: Arc::new(Mutex::new(Moments { last_read: Instant::now(), token_expires: None })),
        }
    }

    pub(super) fn read_succeeded(&self) {
        self.source_up.set(1);
        self.with_moments(|moments| moments.last_read = Instant::now());
    }

    pub(super) fn failed(&self, operation: VaultOperation) {
        self.failures.with_label_values(&[operation.as_label()]).inc();
        if operation == VaultOperation::Read {
            self.source_up.set(0);
        }
    }

    /// `ttl` of `None` is a token that does not expire.
    pub(super) fn token_granted(&self, ttl: Option<Duration>) {
        self.with_moments(|moments| moments.token_expires = ttl.map(|ttl| Instant::now() + ttl));
    }

    fn with_moments<T>(&self, action: impl FnOnce(&mut Moments) -> T) -> T {
        action(&mut self.moments.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Collector for SecretsMetrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.token_ttl.desc(), self.age.desc(), self.source_up.desc(), self.failures.desc()].concat()
    }

    /// Gauges that count time are set here: they would stand still in between otherwise.
    fn collect(&self) -> Vec<MetricFamily> {
        self.with_moments(|moments| {
            let now = Instant::now();
            self.age.set(now.saturating_duration_since(moments.last_read).as_secs_f64());
            let left = moments.token_expires.map(|expires| expires.saturating_duration_since(now));
            self.token_ttl.set(left.unwrap_or_default().as_secs_f64());
        });
        [self.token_ttl.collect(), self.age.collect(), self.source_up.collect(), self.failures.collect()]
            .concat()
    }
}

fn gauge(name: &str, help: &str) -> Gauge {
    Gauge::new(name, help).expect("a constant, valid name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_label_values_are_there_from_the_start_and_times_move() {
        let metrics = SecretsMetrics::new();
        metrics.token_granted(Some(Duration::from_hours(1)));
        metrics.failed(VaultOperation::Read);
        let registry = prometheus::Registry::new();
        registry.register(Box::new(metrics)).unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            r#"mutt_secrets_failures_total{operation="login"} 0"#,
            r#"mutt_secrets_failures_total{operation="read"} 1"#,
            "mutt_secrets_source_up 0",
            "mutt_vault_token_ttl_seconds 3599.",
        ] {
            assert!(text.contains(line), "no `{line}` in\n{text}");
        }
    }
}
