//! What the ingestor counts. Names, labels and buckets of the original stay; the rest follows its manner.

use mutt_core::{
    domain::event::EventSource,
    telemetry::metrics::{LATENCY_BUCKETS, Metrics as Registered},
};
use prometheus::{Histogram, IntCounter, IntGauge};

use crate::wire::RefusalKind;

/// How a request ended, as `mutt_ingest_requests_total` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestEnd {
    /// Something was queued.
    Success,
    /// No or a wrong key, or a source that may not send.
    Auth,
    /// A body that cannot be read.
    Json,
    /// Fields or sizes that are not allowed.
    Validation,
    /// The queue is at its cap.
    QueueFull,
    /// Redis is away.
    Redis,
    /// The limiter refused.
    RateLimit,
    /// Anything else, mostly senders that gave up in the middle of their body.
    Unknown,
}

impl RequestEnd {
    const ALL: [Self; 8] = [
        Self::Success,
        Self::Auth,
        Self::Json,
        Self::Validation,
        Self::QueueFull,
        Self::Redis,
        Self::RateLimit,
        Self::Unknown,
    ];

    fn as_labels(self) -> [&'static str; 2] {
        match self {
            Self::Success => ["success", ""],
            Self::Auth => ["fail", "auth"],
            Self::Json => ["fail", "json"],
            Self::Validation => ["fail", "validation"],
            Self::QueueFull => ["fail", "queue_full"],
            Self::Redis => ["fail", "redis"],
            Self::RateLimit => ["fail", "rate_limit"],
            Self::Unknown => ["fail", "unknown"],
        }
    }
}

/// The metrics of one ingestor.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Vec<(RequestEnd, IntCounter)>,
    /// Time from the key check to the answer.
    pub(crate) latency: Histogram,
    /// Entries on the ingest queue, sampled on a timer.
    pub(crate) queue_depth: IntGauge,
    /// Requests that the limiter refused.
    pub(crate) rate_limit_hits: IntCounter,
    events: Vec<(EventSource, IntCounter)>,
    refused: Vec<(RefusalKind, IntCounter)>,
    /// Events that a sender repeated under the same idempotency key.
    pub(crate) repeated: IntCounter,
    /// Syslog messages of no known shape.
    pub(crate) syslog_unparsed: IntCounter,
    /// Syslog messages that were longer than the limit or never finished.
    pub(crate) syslog_cut: IntCounter,
    /// Syslog events that Redis did not have when the process had to end.
    pub(crate) syslog_lost: IntCounter,
    /// Datagrams that the kernel dropped because the socket's buffer was full.
    pub(crate) udp_kernel_drops: IntCounter,
    /// Events from datagrams that were dropped because Redis took no more and the buffer was full.
    pub(crate) udp_buffer_drops: IntCounter,
    /// Open syslog connections.
    pub(crate) tcp_connections: IntGauge,
    /// Syslog connections closed because there were too many.
    pub(crate) tcp_refused: IntCounter,
    /// Requests, connections and datagrams from addresses that may not send.
    pub(crate) source_refused: IntCounter,
}

impl Metrics {
    /// Makes all metrics, every label set at zero.
    ///
    /// # Errors
    /// When the registry already has metrics of these names.
    pub(crate) fn new(registered: &Registered) -> prometheus::Result<Self> {
        let requests = registered.counters(
            "mutt_ingest_requests_total",
            "Requests to the ingest endpoint by how they ended",
            &["status", "reason"],
            &[],
        )?;
        let events = registered.counters(
            "mutt_ingest_events_total",
            "Events that Redis has, by source",
            &["source"],
            &[],
        )?;
        let refused = registered.counters(
            "mutt_ingest_events_refused_total",
            "Events in HTTP bodies that were refused, by reason",
            &["reason"],
            &[],
        )?;
        let counter = |name: &str, help: &str| registered.counter(name, help);
        Ok(Self {
            requests: RequestEnd::ALL.map(|end| (end, requests.with_label_values(&end.as_labels()))).to_vec(),
            latency: registered.histogram(
                "mutt_ingest_latency_seconds",
                "Time to answer a request with a good key",
                &LATENCY_BUCKETS,
            )?,
            queue_depth: registered.gauge("mutt_ingest_queue_depth", "Entries on the ingest queue")?,
            rate_limit_hits: counter(
                "mutt_ingest_rate_limit_hits_total",
                "Requests that the rate limiter refused",
            )?,
            events: EventSource::ALL
                .map(|source| (source, events.with_label_values(&[source.as_str()])))
                .to_vec(),
            refused: RefusalKind::ALL
                .map(|kind| (kind, refused.with_label_values(&[kind.as_label()])))
                .to_vec(),
            repeated: counter(
                "mutt_ingest_events_repeated_total",
                "Events sent again under the same idempotency key",
            )?,
            syslog_unparsed: counter(
                "mutt_ingest_syslog_unparsed_total",
                "Syslog messages of no known shape",
            )?,
            syslog_cut: counter(
                "mutt_ingest_syslog_cut_total",
                "Syslog messages too long or never finished",
            )?,
            syslog_lost: counter(
                "mutt_ingest_syslog_lost_total",
                "Syslog events not stored when the process ended",
            )?,
            udp_kernel_drops: counter(
                "mutt_ingest_udp_kernel_drops_total",
                "Datagrams that the kernel dropped before they were read",
            )?,
            udp_buffer_drops: counter(
                "mutt_ingest_udp_buffer_drops_total",
                "Events from datagrams dropped because Redis took no more",
            )?,
            tcp_connections: registered.gauge("mutt_ingest_tcp_connections", "Open syslog connections")?,
            tcp_refused: counter(
                "mutt_ingest_tcp_refused_total",
                "Syslog connections closed for being too many",
            )?,
            source_refused: counter(
                "mutt_ingest_source_refused_total",
                "Senders turned away by their address",
            )?,
        })
    }

    /// Counts a request.
    pub(crate) fn request(&self, end: RequestEnd) {
        if let Some((_, counter)) = self.requests.iter().find(|(known, _)| *known == end) {
            counter.inc();
        }
    }

    /// The counter of stored events from `source`.
    pub(crate) fn events(&self, source: EventSource) -> &IntCounter {
        let found = self.events.iter().find(|(known, _)| *known == source);
        &found.expect("every source was registered").1
    }

    /// Counts an event that was refused.
    pub(crate) fn refused(&self, kind: RefusalKind) {
        if let Some((_, counter)) = self.refused.iter().find(|(known, _)| *known == kind) {
            counter.inc();
        }
    }
}

#[cfg(test)]
impl Metrics {
    /// Metrics that nobody reads.
    pub(crate) fn for_tests() -> Self {
        Registered::new("mutt-ingestor", "0").and_then(|registered| Self::new(&registered)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use mutt_core::telemetry::metrics::render;

    use super::*;

    #[test]
    fn every_series_is_there_from_the_start() {
        let registered = Registered::new("mutt-ingestor", "0").unwrap();
        let metrics = Metrics::new(&registered).unwrap();
        metrics.request(RequestEnd::QueueFull);
        metrics.events(EventSource::Syslog).inc_by(2);
        metrics.refused(RefusalKind::TooLarge);
        let text = render(registered.registry()).unwrap();
        for line in [
            "mutt_ingest_requests_total{reason=\"\",status=\"success\"} 0",
            "mutt_ingest_requests_total{reason=\"queue_full\",status=\"fail\"} 1",
            "mutt_ingest_events_total{source=\"syslog\"} 2",
            "mutt_ingest_events_total{source=\"http\"} 0",
            "mutt_ingest_events_refused_total{reason=\"event_too_large\"} 1",
            "mutt_ingest_latency_seconds_bucket{le=\"0.001\"} 0",
            "mutt_ingest_udp_kernel_drops_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
