//! The six objectives of the original, with the queries mended: a client's fault does not spend our budget, an event
//! that no rule matched is processed, and a reload that succeeds counts as a success.

use std::time::Duration;

use mutt_core::redis::live_settings::{self as live, LiveSettings, Setting};

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    /// At least this part succeeds.
    Ratio(f64),
    /// At the 99th percentile, at most this many seconds.
    Seconds(f64),
}

/// One objective.
#[derive(Debug)]
pub(super) struct Objective {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) target: Target,
    /// `WINDOW` stands for the window.
    query: &'static str,
    window: Setting<Duration>,
    pub(super) warning: Setting<f64>,
    pub(super) critical: Setting<f64>,
}

impl Objective {
    pub(super) fn window(&self, live: &LiveSettings) -> Duration {
        live.get_or(self.window, self.window.default_value())
    }

    pub(super) fn query(&self, live: &LiveSettings) -> String {
        self.query.replace("WINDOW", &format!("{}h", self.window(live).as_secs() / 3600))
    }
}

pub(super) static OBJECTIVES: [Objective; 6] = [
    Objective {
        name: "ingestor_availability",
        description: "Requests that the ingestor took, of those that were not the sender's fault",
        target: Target::Ratio(0.999),
        query: r#"sum(increase(mutt_ingest_requests_total{status="success"}[WINDOW])) / sum(increase(mutt_ingest_requests_total{reason!~"auth|json|validation|rate_limit"}[WINDOW]))"#,
        window: live::SLO_INGESTOR_AVAILABILITY_WINDOW,
        warning: live::SLO_INGESTOR_AVAILABILITY_WARNING,
        critical: live::SLO_INGESTOR_AVAILABILITY_CRITICAL,
    },
    Objective {
        name: "ingestor_latency_p99",
        description: "Time in which the ingestor answers 99 of 100 requests",
        target: Target::Seconds(0.5),
        query: "histogram_quantile(0.99, sum by (le) (rate(mutt_ingest_latency_seconds_bucket[WINDOW])))",
        window: live::SLO_INGESTOR_LATENCY_WINDOW,
        warning: live::SLO_INGESTOR_LATENCY_WARNING,
        critical: live::SLO_INGESTOR_LATENCY_CRITICAL,
    },
    Objective {
        name: "forwarder_availability",
        description: "Requests to Moogsoft that it took",
        target: Target::Ratio(0.995),
        query: r#"sum(increase(mutt_moog_requests_total{status="success"}[WINDOW])) / sum(increase(mutt_moog_requests_total{reason!~"rate_limit|circuit_open"}[WINDOW]))"#,
        window: live::SLO_FORWARDER_AVAILABILITY_WINDOW,
        warning: live::SLO_FORWARDER_AVAILABILITY_WARNING,
        critical: live::SLO_FORWARDER_AVAILABILITY_CRITICAL,
    },
    Objective {
        name: "forwarder_latency_p99",
        description: "Time in which Moogsoft answers 99 of 100 requests",
        target: Target::Seconds(2.0),
        query: "histogram_quantile(0.99, sum by (le) (rate(mutt_moog_request_latency_seconds_bucket[WINDOW])))",
        window: live::SLO_FORWARDER_LATENCY_WINDOW,
        warning: live::SLO_FORWARDER_LATENCY_WARNING,
        critical: live::SLO_FORWARDER_LATENCY_CRITICAL,
    },
    Objective {
        name: "alerter_processing_success",
        description: "Events that were decided, by a rule or as unhandled",
        target: Target::Ratio(0.999),
        query: r#"sum(increase(mutt_alerter_events_processed_total{status=~"handled|unhandled"}[WINDOW])) / sum(increase(mutt_alerter_events_processed_total[WINDOW]))"#,
        window: live::SLO_ALERTER_PROCESSING_WINDOW,
        warning: live::SLO_ALERTER_PROCESSING_WARNING,
        critical: live::SLO_ALERTER_PROCESSING_CRITICAL,
    },
    Objective {
        name: "alerter_cache_reload_success",
        description: "Reloads of the rules that succeeded",
        target: Target::Ratio(0.99),
        query: "sum(increase(mutt_alerter_cache_reload_latency_seconds_count[WINDOW])) / (sum(increase(mutt_alerter_cache_reload_latency_seconds_count[WINDOW])) + sum(increase(mutt_alerter_cache_reload_failures_total[WINDOW])))",
        window: live::SLO_ALERTER_RELOAD_WINDOW,
        warning: live::SLO_ALERTER_RELOAD_WARNING,
        critical: live::SLO_ALERTER_RELOAD_CRITICAL,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_ask_for_the_window_in_force() {
        for objective in &OBJECTIVES {
            let query = objective.query(&LiveSettings::off());
            assert!(query.contains("[24h]") && !query.contains("WINDOW"), "{query}");
        }
    }
}
