//! The forwarder's metrics: the original's by their names, labels and buckets, and a few more.
//!
//! Every label set exists from the start, so that a rate over it is right from the first event on.

use mutt_core::{
    redis::breaker::State,
    telemetry::metrics::{MOOG_BUCKETS, Metrics as Registered},
};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};

use crate::outcome::Fault;

/// The breaker's name in labels and keys.
pub const BREAKER_NAME: &str = "moogsoft";

/// From a healthy pipeline's milliseconds to an outage's hours.
const AGE_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 14400.0];

/// Why a request counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailReason {
    /// Any bad answer, or none.
    Http,
    /// 429.
    RateLimit,
    /// The last try of an alert.
    RetryExhausted,
    /// Not sent: the breaker is open.
    CircuitOpen,
}

impl FailReason {
    const ALL: [Self; 4] = [Self::Http, Self::RateLimit, Self::RetryExhausted, Self::CircuitOpen];

    fn as_label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::RateLimit => "rate_limit",
            Self::RetryExhausted => "retry_exhausted",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

/// What became of an alert in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processed {
    /// Delivered.
    Success,
    /// Given up.
    Dlq,
    /// A try failed; another follows.
    Error,
}

impl Processed {
    const ALL: [Self; 3] = [Self::Success, Self::Dlq, Self::Error];

    fn as_label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Dlq => "dlq",
            Self::Error => "error",
        }
    }
}

/// All of them; a clone counts into the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    alerts: IntCounterVec,
    /// From the first byte sent to the last one read, for completed exchanges.
    pub request_latency: Histogram,
    /// From an event's acceptance to Moogsoft's answer.
    pub delivery_age: Histogram,
    /// Alerts that had to wait for a permit.
    pub rate_limit_hits: IntCounter,
    /// Deliveries that Moogsoft only promised (202).
    pub uncertain: IntCounter,
    /// Length of the dead-letter list.
    pub dlq_depth: IntGauge,
    /// Alerts in hand in this process.
    pub in_hand: IntGauge,
    /// Alerts that wait for their next try, of all processes.
    pub retries_waiting: IntGauge,
    faults: IntGaugeVec,
    breaker_state: IntGaugeVec,
    breaker_failures: IntGaugeVec,
    breaker_changes: IntCounterVec,
}

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When `registered` already has metrics of these names.
    pub fn new(registered: &Registered) -> Result<Self> {
        let mut requests: Vec<[&str; 2]> = FailReason::ALL.map(|reason| ["fail", reason.as_label()]).into();
        requests.push(["success", ""]);
        let alerts = Processed::ALL.map(|status| [status.as_label()]);
        let faults = Fault::LABELS.map(|fault| [fault]);
        let changes = [
            (State::Closed, State::Open),
            (State::Open, State::HalfOpen),
            (State::HalfOpen, State::Open),
            (State::HalfOpen, State::Closed),
        ]
        .map(|(from, to)| [BREAKER_NAME, from.as_label(), to.as_label()]);
        Ok(Self {
            requests: registered.counters(
                "mutt_moog_requests_total",
                "Requests to Moogsoft by outcome",
                &["status", "reason"],
                &sets(&requests),
            )?,
            alerts: registered.counters(
                "mutt_moog_alerts_processed_total",
                "Alerts by what became of them; error is a try that another follows",
                &["status"],
                &sets(&alerts),
            )?,
            request_latency: registered.histogram(
                "mutt_moog_request_latency_seconds",
                "Time of one completed request to Moogsoft",
                &MOOG_BUCKETS,
            )?,
            delivery_age: registered.histogram(
                "mutt_moog_delivery_age_seconds",
                "From the acceptance of an event to the delivery of its alert",
                &AGE_BUCKETS,
            )?,
            rate_limit_hits: registered
                .counter("mutt_moog_rate_limit_hits_total", "Alerts that waited for the sending limit")?,
            uncertain: registered.counter(
                "mutt_moog_uncertain_deliveries_total",
                "Alerts that Moogsoft accepted without promising to process them",
            )?,
            dlq_depth: registered.gauge("mutt_moog_dlq_depth", "Alerts on the dead-letter list")?,
            in_hand: registered.gauge("mutt_moog_processing_list_depth", "Alerts in hand in this process")?,
            retries_waiting: registered.gauge(
                "mutt_moog_retries_waiting",
                "Alerts that wait for their next try, of all processes",
            )?,
            faults: registered.gauges(
                "mutt_moog_configuration_fault",
                "1 while nothing can be delivered as it is configured and a person must act",
                &["fault"],
                &sets(&faults),
            )?,
            breaker_state: registered.gauges(
                "mutt_circuit_breaker_state",
                "0 closed, 1 half open, 2 open",
                &["name"],
                &[&[BREAKER_NAME]],
            )?,
            breaker_failures: registered.gauges(
                "mutt_circuit_breaker_failures",
                "Failures in a row that are counted",
                &["name"],
                &[&[BREAKER_NAME]],
            )?,
            breaker_changes: registered.counters(
                "mutt_circuit_breaker_state_changes_total",
                "Changes of state that this process made",
                &["name", "from_state", "to_state"],
                &sets(&changes),
            )?,
        })
    }

    /// A request was answered well.
    pub fn request_succeeded(&self) {
        self.requests.with_label_values(&["success", ""]).inc();
    }

    /// A request failed or was not made.
    pub fn request_failed(&self, reason: FailReason) {
        self.requests.with_label_values(&["fail", reason.as_label()]).inc();
    }

    /// Something became of an alert.
    pub fn processed(&self, what: Processed) {
        self.alerts.with_label_values(&[what.as_label()]).inc();
    }

    /// Nothing can be delivered as it is configured.
    pub fn fault(&self, fault: Fault) {
        self.faults.with_label_values(&[fault.as_label()]).set(1);
    }

    /// Moogsoft answers as it should.
    pub fn no_fault(&self) {
        for label in Fault::LABELS {
            self.faults.with_label_values(&[label]).set(0);
        }
    }

    /// The breaker as it was just read.
    pub fn breaker_is(&self, state: State, failures: u64) {
        self.breaker_state.with_label_values(&[BREAKER_NAME]).set(state.as_gauge());
        let failures = i64::try_from(failures).unwrap_or(i64::MAX);
        self.breaker_failures.with_label_values(&[BREAKER_NAME]).set(failures);
    }

    /// This process changed the breaker's state.
    pub fn breaker_changed(&self, from: State, to: State) {
        self.breaker_changes.with_label_values(&[BREAKER_NAME, from.as_label(), to.as_label()]).inc();
        self.breaker_state.with_label_values(&[BREAKER_NAME]).set(to.as_gauge());
    }
}

fn sets<'a, const N: usize>(sets: &'a [[&'a str; N]]) -> Vec<&'a [&'a str]> {
    sets.iter().map(<[&str; N]>::as_slice).collect()
}

#[cfg(test)]
mod tests {
    use mutt_core::telemetry::metrics::render;

    use super::*;

    #[test]
    fn every_label_set_exists_from_the_start_and_names_are_taken_once() {
        let registered = Registered::new("mutt-moog-forwarder", "0").unwrap();
        Metrics::new(&registered).unwrap();
        let text = render(registered.registry()).unwrap();
        for line in [
            r#"mutt_moog_requests_total{reason="",status="success"} 0"#,
            r#"mutt_moog_requests_total{reason="circuit_open",status="fail"} 0"#,
            r#"mutt_moog_alerts_processed_total{status="dlq"} 0"#,
            r#"mutt_circuit_breaker_state{name="moogsoft"} 0"#,
            r#"mutt_circuit_breaker_state_changes_total{from_state="OPEN",name="moogsoft",to_state="HALF_OPEN"} 0"#,
            r#"mutt_moog_configuration_fault{fault="credentials"} 0"#,
            r#"mutt_moog_request_latency_seconds_bucket{le="0.25"} 0"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(Metrics::new(&registered).is_err());
    }
}
