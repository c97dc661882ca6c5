//! Metrics: one registry per process, and constructors that create every label set at once.
//!
//! A service holds its metrics as a struct made from a registry that was passed in; nothing is global. Label values are
//! closed sets, named when the metric is made, so that each series is there at 0 before anything happened and a rate or
//! an alert over it never meets a gap.

use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Seconds of something that should take milliseconds: ingest, processing. The original's; dashboards name the edges.
pub const LATENCY_BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Seconds of a request to Moogsoft, which has ten seconds by default. The original's.
pub const MOOG_BUCKETS: [f64; 8] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds of a request by a person. The original's.
pub const WEBUI_BUCKETS: [f64; 7] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Milliseconds of a write to PostgreSQL; the unit is the original's, as is the name that says so.
pub const DB_WRITE_MS_BUCKETS: [f64; 11] =
    [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0];

/// Seconds, where the original took its client library's default edges.
pub const DEFAULT_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// What a metrics page is served as.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Makes and registers metrics in one registry.
///
/// ```
/// use mutt_core::telemetry::metrics::{self, LATENCY_BUCKETS, Metrics};
///
/// let metrics = Metrics::new("mutt-ingestor", "1.0.0")?;
/// let requests = metrics.counters(
///     "mutt_ingest_requests_total",
///     "Ingest requests by outcome",
///     &["status", "reason"],
///     &[&["success", ""], &["fail", "auth"]],
/// )?;
/// let latency = metrics.histogram("mutt_ingest_latency_seconds", "Time of one request", &LATENCY_BUCKETS)?;
/// requests.with_label_values(&["fail", "auth"]).inc();
/// latency.observe(0.002);
/// let page = metrics::render(metrics.registry())?;
/// assert!(page.contains("mutt_ingest_requests_total{reason=\"\",status=\"success\"} 0"));
/// # Ok::<(), prometheus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// A registry that already has the process's own metrics (`process_*`) and `mutt_build_info`.
    ///
    /// # Errors
    /// The names cannot be registered, which a new registry does not do.
    pub fn new(service: &str, version: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let metrics = Self { registry };
        let labels: &[&str] = &[service, version];
        let info = metrics.gauges(
            "mutt_build_info",
            "Always 1; says which service in which version this is",
            &["service", "version"],
            &[labels],
        )?;
        info.with_label_values(labels).set(1);
        Ok(metrics)
    }

    /// For those who make their metrics elsewhere, and for [`crate::http::ops::router`].
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A counter; its name ends in `_total`.
    ///
    /// # Errors
    /// A name that is invalid or taken.
    pub fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }

    /// Counters by label, all of `sets` there from the start.
    ///
    /// # Errors
    /// A name that is invalid or taken, or a set that does not fit the labels.
    pub fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        sets: &[&[&str]],
    ) -> prometheus::Result<IntCounterVec> {
        let counters = self.add(IntCounterVec::new(Opts::new(name, help), labels)?)?;
        for set in sets {
            counters.get_metric_with_label_values(set)?;
        }
        Ok(counters)
    }

    /// A gauge of whole numbers.
    ///
    /// # Errors
    /// A name that is invalid or taken.
    pub fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    /// A gauge of any number: seconds, ratios.
    ///
    /// # Errors
    /// A name that is invalid or taken.
    pub fn float_gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.add(Gauge::new(name, help)?)
    }

    /// Gauges of whole numbers by label, all of `sets` there from the start.
    ///
    /// # Errors
    /// A name that is invalid or taken, or a set that does not fit the labels.
    pub fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        sets: &[&[&str]],
    ) -> prometheus::Result<IntGaugeVec> {
        let gauges = self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)?;
        for set in sets {
            gauges.get_metric_with_label_values(set)?;
        }
        Ok(gauges)
    }

    /// Gauges of any number by label, all of `sets` there from the start.
    ///
    /// # Errors
    /// A name that is invalid or taken, or a set that does not fit the labels.
    pub fn float_gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        sets: &[&[&str]],
    ) -> prometheus::Result<GaugeVec> {
        let gauges = self.add(GaugeVec::new(Opts::new(name, help), labels)?)?;
        for set in sets {
            gauges.get_metric_with_label_values(set)?;
        }
        Ok(gauges)
    }

    /// A histogram over `buckets`, ascending.
    ///
    /// # Errors
    /// A name that is invalid or taken.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }

    /// Histograms by label, all of `sets` there from the start.
    ///
    /// # Errors
    /// A name that is invalid or taken, or a set that does not fit the labels.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
        sets: &[&[&str]],
    ) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let histograms = self.add(HistogramVec::new(opts, labels)?)?;
        for set in sets {
            histograms.get_metric_with_label_values(set)?;
        }
        Ok(histograms)
    }

    fn add<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

/// The metrics page of a registry, as [`CONTENT_TYPE`].
///
/// # Errors
/// A collector that gives what cannot be shown.
pub fn render(registry: &Registry) -> prometheus::Result<String> {
    let mut page = Vec::with_capacity(16 * 1024);
    TextEncoder::new().encode(&registry.gather(), &mut page)?;
    String::from_utf8(page).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_before_anything_happened() {
        let metrics = Metrics::new("mutt-test", "1.2.3").unwrap();
        metrics.counters("mutt_x_total", "X", &["mode"], &[&["a"], &["b"]]).unwrap();
        metrics.histograms("mutt_y_seconds", "Y", &LATENCY_BUCKETS, &["endpoint"], &[&["rules"]]).unwrap();
        metrics.float_gauges("mutt_z_ratio", "Z", &["of"], &[&["c"]]).unwrap();
        let page = render(metrics.registry()).unwrap();
        for line in [
            "mutt_build_info{service=\"mutt-test\",version=\"1.2.3\"} 1",
            "mutt_x_total{mode=\"a\"} 0",
            "mutt_x_total{mode=\"b\"} 0",
            "mutt_y_seconds_bucket{endpoint=\"rules\",le=\"0.001\"} 0",
            "mutt_z_ratio{of=\"c\"} 0",
            "# TYPE process_resident_memory_bytes gauge",
        ] {
            assert!(page.contains(line), "{line} is not in:\n{page}");
        }
    }

    #[test]
    fn a_name_is_registered_once_and_a_set_fits_its_labels() {
        let metrics = Metrics::new("mutt-test", "1").unwrap();
        metrics.counter("mutt_x_total", "X").unwrap();
        assert!(metrics.counter("mutt_x_total", "X").is_err());
        assert!(metrics.counters("mutt_y_total", "Y", &["a", "b"], &[&["only one"]]).is_err());
    }

    #[test]
    fn buckets_ascend() {
        for buckets in
            [&LATENCY_BUCKETS[..], &MOOG_BUCKETS, &WEBUI_BUCKETS, &DB_WRITE_MS_BUCKETS, &DEFAULT_BUCKETS]
        {
            assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_eq!(CONTENT_TYPE, "text/plain; version=0.0.4");
    }
}
