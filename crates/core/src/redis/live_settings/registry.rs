//! Every live setting there is: the 39 of the original's defaults script, and those of its remediation service.
//!
//! A setting that is not in Redis has no live value: the service then uses its own setting of the same meaning, so the
//! defaults here are for people to read and agree with those settings. Where the original had two defaults for one
//! thing (`moog_rate_limit` 100 per 60 s here, 50 per second in the environment) the environment's won.

use std::marker::PhantomData;
use std::time::Duration;

use super::value::{Kind, LiveValue, TimeUnit, Value};

/// Which service a setting belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// The ingestor.
    Ingestor,
    /// The alerter.
    Alerter,
    /// The Moog forwarder.
    Forwarder,
    /// Objectives shown by the Web UI.
    Slo,
    /// How long data is kept.
    Retention,
    /// Replay of dead letters.
    Remediation,
}

impl Group {
    /// For forms, tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingestor => "ingestor",
            Self::Alerter => "alerter",
            Self::Forwarder => "forwarder",
            Self::Slo => "slo",
            Self::Retention => "retention",
            Self::Remediation => "remediation",
        }
    }
}

/// What there is to know about a live setting besides its value.
#[derive(Debug)]
pub struct Definition {
    /// Its name: the Redis key is `mutt:config:<key>`.
    pub key: &'static str,
    /// Whose it is.
    pub group: Group,
    /// What it may hold.
    pub kind: Kind,
    /// What holds while it is not set, unless the service's own setting says otherwise.
    pub default: &'static str,
    /// What it does, one sentence.
    pub about: &'static str,
}

/// The typed name of a live setting; reading one is an array look-up.
#[derive(Debug)]
pub struct Setting<T> {
    pub(super) index: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Setting<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Setting<T> {}

impl<T: LiveValue> Setting<T> {
    const fn new(index: usize) -> Self {
        Self { index, kind: PhantomData }
    }

    /// Its definition.
    ///
    /// # Panics
    /// Never: only the table below makes settings.
    #[must_use]
    pub fn definition(self) -> &'static Definition {
        DEFINITIONS.get(self.index).expect("a setting is made with its definition")
    }

    /// The value that its definition gives.
    ///
    /// # Panics
    /// Never: a test parses every default.
    #[must_use]
    pub fn default_value(self) -> T {
        let definition = self.definition();
        definition
            .kind
            .parse(definition.default)
            .and_then(T::from_value)
            .expect("defaults fit their settings")
    }
}

/// The definition of `key`, or `None` when there is no such setting.
#[must_use]
pub fn find(key: &str) -> Option<&'static Definition> {
    index_of(key).and_then(|index| DEFINITIONS.get(index))
}

pub(super) fn index_of(key: &str) -> Option<usize> {
    DEFINITIONS.iter().position(|definition| definition.key == key)
}

impl Definition {
    /// The value of `text`, or `None` when it does not fit.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<Value> {
        self.kind.parse(text)
    }
}

const fn seconds(from: u64, to: u64) -> Kind {
    Kind::Time { unit: TimeUnit::Seconds, range: from..=to }
}

const fn hours(from: u64, to: u64) -> Kind {
    Kind::Time { unit: TimeUnit::Hours, range: from..=to }
}

macro_rules! settings {
    ($($name:ident: $type:ty, $key:literal, $group:ident, $default:literal, $kind:expr, $about:literal;)*) => {
        /// Position of each setting in [`DEFINITIONS`].
        #[expect(non_camel_case_types, reason = "one name per constant below")]
        enum Index { $($name),* }

        $(#[doc = $about] pub const $name: Setting<$type> = Setting::new(Index::$name as usize);)*

        /// All live settings, grouped by service.
        pub static DEFINITIONS: &[Definition] = &[
            $(Definition { key: $key, group: Group::$group, kind: $kind, default: $default, about: $about }),*
        ];

        #[cfg(test)]
        fn check_types() {
            $(let _fits: $type = $name.default_value();)*
        }
    };
}

/// Ten years: a longer retention is a mistyped one.
const MAX_DAYS: u64 = 3650;

settings! {
    MAX_INGEST_QUEUE_SIZE: u64, "max_ingest_queue_size", Ingestor, "1000000", Kind::Count(1_000..=1_000_000_000),
        "Events on the ingest queue at which senders are told to wait (503).";
    INGEST_MAX_RATE: u64, "ingest_max_rate", Ingestor, "1000", Kind::Count(1..=100_000_000),
        "Events accepted per window from all senders together, when the limiter is on.";
    INGEST_RATE_WINDOW: Duration, "ingest_rate_window", Ingestor, "60", seconds(1, 86_400),
        "Length of the ingest limiter's window.";

    CACHE_RELOAD_INTERVAL: Duration, "cache_reload_interval", Alerter, "300", seconds(1, 86_400),
        "How often rules, development hosts and teams are read again even without a change notice.";
    UNHANDLED_THRESHOLD: u64, "unhandled_threshold", Alerter, "100", Kind::Count(1..=1_000_000),
        "Unhandled events of one shape and host that make one meta-alert.";
    UNHANDLED_EXPIRY: Duration, "unhandled_expiry_seconds", Alerter, "86400", seconds(1, 2_592_000),
        "How long unhandled events are counted together, and how long one meta-alert stands for them.";
    ALERTER_QUEUE_WARN_THRESHOLD: u64, "alerter_queue_warn_threshold", Alerter, "1000", Kind::Count(1..=100_000_000),
        "Alerts waiting for the forwarder above which the alerter warns.";
    ALERTER_QUEUE_SHED_THRESHOLD: u64, "alerter_queue_shed_threshold", Alerter, "2000", Kind::Count(1..=100_000_000),
        "Alerts waiting for the forwarder above which the alerter takes no more events.";
    ALERTER_SHED_MODE: &'static str, "alerter_shed_mode", Alerter, "defer", Kind::Choice(&["defer", "dlq"]),
        "What the alerter does above the threshold; dlq is accepted and means defer: nothing is thrown away.";
    ALERTER_DEFER_SLEEP: Duration, "alerter_defer_sleep_ms", Alerter, "250",
        Kind::Time { unit: TimeUnit::Millis, range: 1..=60_000 },
        "How long the alerter waits before it looks at the alert queue again.";

    MOOG_RATE_LIMIT: u64, "moog_rate_limit", Forwarder, "50", Kind::Count(1..=1_000_000),
        "Alerts sent to Moogsoft per period by all forwarders together.";
    MOOG_RATE_PERIOD: Duration, "moog_rate_period", Forwarder, "1", seconds(1, 3_600),
        "Length of the forwarder limiter's window.";
    CIRCUIT_BREAKER_THRESHOLD: u64, "circuit_breaker_threshold", Forwarder, "10", Kind::Count(1..=1_000),
        "Failures in a row after which Moogsoft is left alone for a while.";
    CIRCUIT_BREAKER_TIMEOUT: Duration, "circuit_breaker_timeout", Forwarder, "300", seconds(1, 86_400),
        "How long Moogsoft is left alone before one alert tries again.";

    SLO_INGESTOR_AVAILABILITY_WINDOW: Duration, "slo_ingestor_availability_window_hours", Slo, "24", hours(1, 720),
        "Window of the ingestor's availability objective.";
    SLO_INGESTOR_AVAILABILITY_WARNING: f64, "slo_ingestor_availability_burn_rate_warning", Slo, "5.0", Kind::Ratio(0.1..=1000.0),
        "Burn rate of the ingestor's availability budget that is a warning.";
    SLO_INGESTOR_AVAILABILITY_CRITICAL: f64, "slo_ingestor_availability_burn_rate_critical", Slo, "10.0", Kind::Ratio(0.1..=1000.0),
        "Burn rate of the ingestor's availability budget that is critical.";
    SLO_FORWARDER_AVAILABILITY_WINDOW: Duration, "slo_forwarder_availability_window_hours", Slo, "24", hours(1, 720),
        "Window of the forwarder's availability objective.";
    SLO_FORWARDER_AVAILABILITY_WARNING: f64, "slo_forwarder_availability_burn_rate_warning", Slo, "5.0", Kind::Ratio(0.1..=1000.0),
        "Burn rate of the forwarder's availability budget that is a warning.";
    SLO_FORWARDER_AVAILABILITY_CRITICAL: f64, "slo_forwarder_availability_burn_rate_critical", Slo, "10.0", Kind::Ratio(0.1..=1000.0),
        "Burn rate of the forwarder's availability budget that is critical.";
    SLO_ALERTER_PROCESSING_WINDOW: Duration, "slo_alerter_processing_success_window_hours", Slo, "24", hours(1, 720),
        "Window of the alerter's processing objective.";
    SLO_ALERTER_PROCESSING_WARNING: f64, "slo_alerter_processing_success_burn_rate_warning", Slo, "5.0", Kind::Ratio(0.1..=1000.0),
        "Burn rate of the alerter's processing budget that is a warning.";
    SLO_ALERTER_PROCESSING_CRITICAL: f64, "slo_alerter_processing_success_burn_rate_critical", Slo, "10.0", Kind::Ratio(0.1..=1000.0),
        "Burn rate of the alerter's processing budget that is critical.";
    SLO_ALERTER_RELOAD_WINDOW: Duration, "slo_alerter_cache_reload_success_window_hours", Slo, "24", hours(1, 720),
        "Window of the objective for reloading rules.";
    SLO_ALERTER_RELOAD_WARNING: f64, "slo_alerter_cache_reload_success_burn_rate_warning", Slo, "5.0", Kind::Ratio(0.1..=1000.0),
        "Burn rate of the reload budget that is a warning.";
    SLO_ALERTER_RELOAD_CRITICAL: f64, "slo_alerter_cache_reload_success_burn_rate_critical", Slo, "10.0", Kind::Ratio(0.1..=1000.0),
        "Burn rate of the reload budget that is critical.";
    SLO_INGESTOR_LATENCY_WINDOW: Duration, "slo_ingestor_latency_p99_window_hours", Slo, "24", hours(1, 720),
        "Window of the ingestor's latency objective.";
    SLO_INGESTOR_LATENCY_WARNING: f64, "slo_ingestor_latency_p99_upper_bound_warning", Slo, "0.75", Kind::Ratio(0.001..=3600.0),
        "Seconds at the 99th percentile of ingest that are a warning.";
    SLO_INGESTOR_LATENCY_CRITICAL: f64, "slo_ingestor_latency_p99_upper_bound_critical", Slo, "1.0", Kind::Ratio(0.001..=3600.0),
        "Seconds at the 99th percentile of ingest that are critical.";
    SLO_FORWARDER_LATENCY_WINDOW: Duration, "slo_forwarder_latency_p99_window_hours", Slo, "24", hours(1, 720),
        "Window of the forwarder's latency objective.";
    SLO_FORWARDER_LATENCY_WARNING: f64, "slo_forwarder_latency_p99_upper_bound_warning", Slo, "3.0", Kind::Ratio(0.001..=3600.0),
        "Seconds at the 99th percentile of sending that are a warning.";
    SLO_FORWARDER_LATENCY_CRITICAL: f64, "slo_forwarder_latency_p99_upper_bound_critical", Slo, "5.0", Kind::Ratio(0.001..=3600.0),
        "Seconds at the 99th percentile of sending that are critical.";

    EVENT_RETENTION_DAYS: u64, "event_retention_days", Retention, "90", Kind::Count(1..=MAX_DAYS),
        "Days that audited events stay in the active table.";
    EVENT_ARCHIVE_RETENTION_YEARS: u64, "event_archive_retention_years", Retention, "7", Kind::Count(1..=100),
        "Years that archived events are kept.";
    CONFIG_AUDIT_RETENTION_DAYS: u64, "config_audit_retention_days", Retention, "365", Kind::Count(1..=MAX_DAYS),
        "Days that the record of configuration changes is kept.";
    METRICS_RETENTION_DAYS: u64, "metrics_retention_days", Retention, "30", Kind::Count(1..=MAX_DAYS),
        "Days that stored metrics are kept; for the tools that store them.";
    LOG_RETENTION_DAYS: u64, "log_retention_days", Retention, "30", Kind::Count(1..=MAX_DAYS),
        "Days that log files are kept; for the tools that keep them.";
    RETENTION_ENFORCEMENT_ENABLED: bool, "retention_enforcement_enabled", Retention, "true", Kind::Flag,
        "Whether anything is archived and deleted by age at all.";
    RETENTION_CHECK_INTERVAL: Duration, "retention_check_interval_hours", Retention, "24", hours(1, 720),
        "How often retention is enforced.";

    REMEDIATION_ENABLED: bool, "remediation_enabled", Remediation, "true", Kind::Flag,
        "Whether dead letters that a later try may help are replayed by themselves.";
    REMEDIATION_INTERVAL: Duration, "remediation_interval", Remediation, "300", seconds(1, 86_400),
        "How often dead letters are looked at.";
    REMEDIATION_BATCH_SIZE: u64, "remediation_batch_size", Remediation, "10", Kind::Count(1..=10_000),
        "Dead letters replayed each time.";
    MAX_POISON_RETRIES: u64, "max_poison_retries", Remediation, "3", Kind::Count(0..=100),
        "Replays after which an entry is left for people.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_default_fits_its_own_setting_and_type() {
        check_types();
        for definition in DEFINITIONS {
            assert!(definition.parse(definition.default).is_some(), "{}", definition.key);
        }
    }

    #[test]
    fn the_originals_39_keys_are_all_there_once() {
        let keys: BTreeSet<_> = DEFINITIONS.iter().map(|definition| definition.key).collect();
        assert_eq!(keys.len(), DEFINITIONS.len(), "a key is there twice");
        let count = |group| DEFINITIONS.iter().filter(|definition| definition.group == group).count();
        let groups = [Group::Ingestor, Group::Alerter, Group::Forwarder, Group::Slo, Group::Retention];
        assert_eq!(groups.map(count), [3, 7, 4, 18, 7]);
    }

    #[test]
    fn a_typed_name_finds_its_own_definition() {
        assert_eq!(MOOG_RATE_LIMIT.definition().key, "moog_rate_limit");
        assert_eq!(MOOG_RATE_LIMIT.default_value(), 50);
        assert_eq!(MAX_POISON_RETRIES.definition().key, "max_poison_retries");
        assert_eq!(find("alerter_shed_mode").unwrap().default, "defer");
        assert!(find("slo_window_hours").is_none());
    }
}
