//! The alerter's metrics: names, labels and buckets are the original's, so that dashboards and alerts keep working; what
//! is new follows the same pattern.

use mutt_core::telemetry::metrics::{
    DB_WRITE_MS_BUCKETS, DEFAULT_BUCKETS, LATENCY_BUCKETS, Metrics as Registered,
};
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Result};

/// What became of an event, in `mutt_alerter_events_processed_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A rule decided it.
    Handled,
    /// No rule matched.
    Unhandled,
    /// It went to the dead letters.
    Poison,
    /// It failed and is tried again.
    Error,
}

impl Status {
    const ALL: [Self; 4] = [Self::Handled, Self::Unhandled, Self::Poison, Self::Error];

    fn as_label(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Unhandled => "unhandled",
            Self::Poison => "poison",
            Self::Error => "error",
        }
    }
}

/// Everything this service counts.
#[derive(Debug)]
pub struct Metrics {
    events: IntCounterVec,
    /// Alerts handed to the alert queue's script, meta-alerts not among them.
    pub alerts_forwarded: IntCounter,
    /// Meta-alerts for shapes of unhandled messages.
    pub meta_alerts: IntCounter,
    /// Reloads that failed; the rules of before stayed in force.
    pub reload_failures: IntCounter,
    /// Seconds per event of a batch, claim to outcome.
    pub processing_latency: Histogram,
    /// Seconds per reload.
    pub reload_latency: Histogram,
    /// Rules in force.
    pub rules: IntGauge,
    /// Development hosts known.
    pub development_hosts: IntGauge,
    /// Team assignments known.
    pub teams: IntGauge,
    /// Milliseconds per audit statement.
    pub db_write_latency: Histogram,
    /// Length of the alerter's dead-letter list.
    pub dlq_depth: IntGauge,
    /// Entries this process has in hand.
    pub in_hand: IntGauge,
    /// Length of the alert queue.
    pub alert_queue_depth: IntGauge,
    /// Claims put off because the alert queue was full.
    shed: IntCounterVec,
    /// Active rules that cannot match and were left out.
    pub rules_left_out: IntGauge,
    /// Patterns that gave up at their step limit.
    pub pattern_step_limit: IntCounter,
    /// Entries that came again because their worker had died.
    pub reclaimed: IntCounter,
    /// Entries waiting for their next try.
    pub retries_waiting: IntGauge,
    /// Seconds the oldest waiting event has waited.
    pub oldest_event_age: Gauge,
    /// Months after this one that have their audit partition.
    pub partitions_ahead: IntGauge,
}

impl Metrics {
    /// Registers everything, at zero.
    ///
    /// # Errors
    /// When a name is taken in this registry.
    pub fn new(make: &Registered) -> Result<Self> {
        let statuses = Status::ALL.map(|status| [status.as_label()]);
        Ok(Self {
            events: make.counters(
                "mutt_alerter_events_processed_total",
                "Events by what became of them",
                &["status"],
                &statuses.each_ref().map(<[&str; 1]>::as_slice),
            )?,
            alerts_forwarded: make
                .counter("mutt_alerter_alerts_forwarded_total", "Alerts put on the alert queue")?,
            meta_alerts: make.counter(
                "mutt_alerter_unhandled_meta_alerts_total",
                "Meta-alerts for unhandled messages put on the alert queue",
            )?,
            reload_failures: make.counter(
                "mutt_alerter_cache_reload_failures_total",
                "Reloads of rules, development hosts and teams that failed; the old ones stayed in force",
            )?,
            processing_latency: make.histogram(
                "mutt_alerter_processing_latency_seconds",
                "Time from the claim of an event to its outcome",
                &LATENCY_BUCKETS,
            )?,
            reload_latency: make.histogram(
                "mutt_alerter_cache_reload_latency_seconds",
                "Time to read and compile rules, development hosts and teams",
                &DEFAULT_BUCKETS,
            )?,
            rules: make.gauge("mutt_alerter_cache_rules_count", "Rules in force")?,
            development_hosts: make.gauge("mutt_alerter_cache_dev_hosts_count", "Development hosts known")?,
            teams: make.gauge("mutt_alerter_cache_teams_count", "Hosts with a team known")?,
            db_write_latency: make.histogram(
                "mutt_db_write_latency_ms",
                "Milliseconds per statement that writes a batch of audit rows",
                &DB_WRITE_MS_BUCKETS,
            )?,
            dlq_depth: make.gauge("mutt_alerter_dlq_depth", "Length of the alerter's dead-letter list")?,
            in_hand: make.gauge("mutt_alerter_processing_list_depth", "Events this process has in hand")?,
            alert_queue_depth: make.gauge("mutt_alerter_queue_depth", "Length of the alert queue")?,
            shed: make.counters(
                "mutt_alerter_shed_events_total",
                "Claims put off (defer) because the alert queue was full; dlq is never used",
                &["mode"],
                &[&["dlq"], &["defer"]],
            )?,
            rules_left_out: make.gauge(
                "mutt_alerter_rules_left_out",
                "Active rules that cannot match as they are stored and were left out",
            )?,
            pattern_step_limit: make.counter(
                "mutt_alerter_pattern_step_limit_total",
                "Patterns with look-around or back-references that gave up on a message",
            )?,
            reclaimed: make.counter(
                "mutt_alerter_events_reclaimed_total",
                "Events taken again after the worker that had them died",
            )?,
            retries_waiting: make
                .gauge("mutt_alerter_retries_waiting", "Events waiting for their next try")?,
            oldest_event_age: make.float_gauge(
                "mutt_alerter_oldest_event_age_seconds",
                "How long the oldest event on the ingest queue has waited",
            )?,
            partitions_ahead: make.gauge(
                "mutt_alerter_partitions_ahead",
                "Months after this one that have their audit partition; -1 when this month has none",
            )?,
        })
    }

    /// Counts events by what became of them.
    pub fn event(&self, status: Status, events: usize) {
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        self.events.with_label_values(&[status.as_label()]).inc_by(events);
    }

    /// Counts a claim that was put off because the alert queue was full.
    pub fn deferred(&self) {
        self.shed.with_label_values(&["defer"]).inc();
    }
}

/// A count for a gauge.
pub(crate) fn level<N>(count: N) -> i64
where
    i64: TryFrom<N>,
{
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_label_is_there_from_the_start() {
        let registry = Registered::new("mutt-alerter", "test").unwrap();
        let _metrics = Metrics::new(&registry).unwrap();
        let text = mutt_core::telemetry::metrics::render(registry.registry()).unwrap();
        for line in [
            "mutt_alerter_events_processed_total{status=\"handled\"} 0",
            "mutt_alerter_events_processed_total{status=\"poison\"} 0",
            "mutt_alerter_shed_events_total{mode=\"dlq\"} 0",
            "mutt_alerter_unhandled_meta_alerts_total 0",
            "mutt_db_write_latency_ms_bucket{le=\"2500\"} 0",
            "mutt_alerter_processing_latency_seconds_bucket{le=\"0.001\"} 0",
            "mutt_alerter_cache_dev_hosts_count 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(Metrics::new(&registry).is_err(), "a second registration must be refused");
    }
}
