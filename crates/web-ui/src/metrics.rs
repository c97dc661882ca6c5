//! The Web UI's metrics. Labels are closed sets: endpoint, status, operation, stage.

use mutt_core::{
    queue::{depth::Depths, ledger::Ledger},
    redis::keys::Pipeline,
    telemetry::metrics::{DB_WRITE_MS_BUCKETS, DEFAULT_BUCKETS, Metrics as Registered, WEBUI_BUCKETS},
};
use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

/// A group of API paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Metrics,
    Slo,
    Rules,
    Hosts,
    Teams,
    Audit,
    Config,
    Queues,
    Other,
}

impl Endpoint {
    const ALL: [Self; 9] = [
        Self::Metrics,
        Self::Slo,
        Self::Rules,
        Self::Hosts,
        Self::Teams,
        Self::Audit,
        Self::Config,
        Self::Queues,
        Self::Other,
    ];

    pub(crate) fn as_label(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Slo => "slo",
            Self::Rules => "rules",
            Self::Hosts => "hosts",
            Self::Teams => "teams",
            Self::Audit => "audit",
            Self::Config => "config",
            Self::Queues => "queues",
            Self::Other => "other",
        }
    }
}

/// How a request to the API ended; the original's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Success,
    SuccessCached,
    /// The caller's fault.
    ErrorInvalid,
    FailRedis,
    /// The database's fault, or a defect.
    Error,
}

impl Status {
    const ALL: [Self; 5] =
        [Self::Success, Self::SuccessCached, Self::ErrorInvalid, Self::FailRedis, Self::Error];

    fn as_label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::SuccessCached => "success_cached",
            Self::ErrorInvalid => "error_invalid",
            Self::FailRedis => "fail_redis",
            Self::Error => "error",
        }
    }
}

/// What was asked of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    GetRules,
    ChangeRules,
    GetHosts,
    ChangeHosts,
    GetTeams,
    ChangeTeams,
    GetEvents,
    GetChanges,
    ChangeConfig,
}

impl Operation {
    const ALL: [Self; 9] = [
        Self::GetRules,
        Self::ChangeRules,
        Self::GetHosts,
        Self::ChangeHosts,
        Self::GetTeams,
        Self::ChangeTeams,
        Self::GetEvents,
        Self::GetChanges,
        Self::ChangeConfig,
    ];

    fn as_label(self) -> &'static str {
        match self {
            Self::GetRules => "get_rules",
            Self::ChangeRules => "change_rules",
            Self::GetHosts => "get_hosts",
            Self::ChangeHosts => "change_hosts",
            Self::GetTeams => "get_teams",
            Self::ChangeTeams => "change_teams",
            Self::GetEvents => "get_events",
            Self::GetChanges => "get_changes",
            Self::ChangeConfig => "change_config",
        }
    }
}

/// How somebody tried to get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    Granted,
    Refused,
    Throttled,
}

impl Login {
    const ALL: [Self; 3] = [Self::Granted, Self::Refused, Self::Throttled];

    fn as_label(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
        }
    }
}

/// All metrics of the Web UI.
pub(crate) struct Metrics {
    requests: IntCounterVec,
    latency: HistogramVec,
    redis_latency: Histogram,
    db_latency: HistogramVec,
    logins: IntCounterVec,
    imbalance: IntGauge,
    waiting: IntGaugeVec,
    retries: IntGaugeVec,
    workers: IntGaugeVec,
    oldest: GaugeVec,
    dead: IntGauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// A name that is taken.
    pub(crate) fn new(registered: &Registered, pipeline: &Pipeline) -> prometheus::Result<Self> {
        let pairs: Vec<[&str; 2]> = Endpoint::ALL
            .into_iter()
            .flat_map(|endpoint| Status::ALL.map(|status| [endpoint.as_label(), status.as_label()]))
            .collect();
        let pairs: Vec<&[&str]> = pairs.iter().map(<[&str; 2]>::as_slice).collect();
        let endpoints = Endpoint::ALL.map(|endpoint| [endpoint.as_label()]);
        let endpoints: Vec<&[&str]> = endpoints.iter().map(<[&str; 1]>::as_slice).collect();
        let operations = Operation::ALL.map(|operation| [operation.as_label()]);
        let operations: Vec<&[&str]> = operations.iter().map(<[&str; 1]>::as_slice).collect();
        let logins = Login::ALL.map(|login| [login.as_label()]);
        let logins: Vec<&[&str]> = logins.iter().map(<[&str; 1]>::as_slice).collect();
        let stages = pipeline.stages().map(|stage| [stage.stage.as_str()]);
        let stages: Vec<&[&str]> = stages.iter().map(<[&str; 1]>::as_slice).collect();
        Ok(Self {
            requests: registered.counters(
                "mutt_webui_api_requests_total",
                "API requests by endpoint and outcome",
                &["endpoint", "status"],
                &pairs,
            )?,
            latency: registered.histograms(
                "mutt_webui_api_latency_seconds",
                "Time of an API request",
                &WEBUI_BUCKETS,
                &["endpoint"],
                &endpoints,
            )?,
            redis_latency: registered.histogram(
                "mutt_webui_redis_scan_latency_seconds",
                "Time to read the event counters from Redis",
                &DEFAULT_BUCKETS,
            )?,
            db_latency: registered.histograms(
                "mutt_webui_db_query_latency_ms",
                "Time of a database operation, in milliseconds",
                &DB_WRITE_MS_BUCKETS,
                &["operation"],
                &operations,
            )?,
            logins: registered.counters(
                "mutt_webui_logins_total",
                "Attempts to log in to the console",
                &["outcome"],
                &logins,
            )?,
            imbalance: registered
                .gauge("mutt_ledger_imbalance", "Entries that the ledger cannot account for; 0, always")?,
            waiting: registered.gauges(
                "mutt_stage_waiting",
                "Entries that wait for a stage",
                &["stage"],
                &stages,
            )?,
            retries: registered.gauges(
                "mutt_stage_retries_waiting",
                "Entries that wait for their next try at a stage",
                &["stage"],
                &stages,
            )?,
            workers: registered.gauges(
                "mutt_stage_lanes",
                "Lanes that work on a stage, over all instances",
                &["stage"],
                &stages,
            )?,
            oldest: registered.float_gauges(
                "mutt_stage_oldest_age_seconds",
                "How long the oldest entry has waited for a stage",
                &["stage"],
                &stages,
            )?,
            dead: registered
                .gauge("mutt_dead_letters_final", "Entries on mutt:dlq:dead, which only people empty")?,
        })
    }

    /// Counts one request to the API.
    pub(crate) fn answered(&self, endpoint: Endpoint, status: Status, seconds: f64) {
        self.requests.with_label_values(&[endpoint.as_label(), status.as_label()]).inc();
        self.latency.with_label_values(&[endpoint.as_label()]).observe(seconds);
    }

    /// Notes how long a database operation took.
    pub(crate) fn asked_database(&self, operation: Operation, milliseconds: f64) {
        self.db_latency.with_label_values(&[operation.as_label()]).observe(milliseconds);
    }

    /// Notes how long reading the counters took.
    pub(crate) fn read_counters(&self, seconds: f64) {
        self.redis_latency.observe(seconds);
    }

    /// Counts one attempt to log in.
    pub(crate) fn login(&self, login: Login) {
        self.logins.with_label_values(&[login.as_label()]).inc();
    }

    /// Takes over what a sample saw.
    pub(crate) fn sampled(&self, depths: &Depths, ledger: &Ledger) {
        self.imbalance.set(ledger.imbalance());
        self.dead.set(whole(depths.dead));
        for stage in &depths.stages {
            let label = &[stage.stage.as_str()];
            self.waiting.with_label_values(label).set(whole(stage.waiting));
            self.retries.with_label_values(label).set(whole(stage.delayed));
            self.workers.with_label_values(label).set(whole(stage.lanes));
            self.oldest.with_label_values(label).set(stage.oldest_age_secs.unwrap_or(0.0));
        }
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
