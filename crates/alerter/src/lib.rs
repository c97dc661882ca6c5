//! Decides by rules who must know, audits every event, queues alerts.
//!
//! [`start`] connects and binds; [`run`] is the service itself, which tests call. Inside, [`worker`] has the flow of one
//! batch: [`decide`] (pure) says what becomes of an event, [`apply`] writes the audit, and one settlement does the rest.

pub mod alert;
pub mod apply;
pub mod backpressure;
pub mod decide;
mod health;
mod housekeeping;
pub mod limits;
pub mod metrics;
pub mod rule_set;
pub mod settings;
pub mod signature;
pub mod template;
pub mod worker;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use mutt_core::{
    db::{self, DbError},
    domain::clock::{Clock, SystemClock},
    http::{ops, serve},
    queue::{LaneSettings, run_lanes},
    redis::{self as core_redis, Connector, live_settings::LiveSettings},
    runtime::{Lifecycle, OrUnavailable as _, wait_for},
    secrets,
    telemetry::metrics::Metrics as Registered,
};
use sqlx::PgPool;
use tokio::net::TcpListener;

use self::{
    apply::Auditor, backpressure::Backpressure, health::Dependencies, limits::Limits, metrics::Metrics,
    rule_set::Rules, settings::Settings, worker::Alerter,
};

/// The service's name: in health answers, logs and metrics.
pub const SERVICE: &str = "mutt-alerter";
/// A lane's connection for the doorbell waits this long in Redis.
const DOORBELL_BLOCK: Duration = Duration::from_secs(2);

/// What the alerter works with.
pub struct Deps {
    /// Shared by everything that does not wait in Redis.
    pub redis: redis::aio::ConnectionManager,
    /// Opens more connections.
    pub connector: Connector,
    /// Rules and audit.
    pub pool: PgPool,
    /// What people change while it runs.
    pub live: LiveSettings,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Where the alerter is asked how it is.
pub struct Listeners {
    /// For `/metrics`.
    pub metrics: TcpListener,
    /// For `/health`.
    pub health: TcpListener,
}

impl Listeners {
    /// Binds both ports.
    ///
    /// # Errors
    /// When one is taken or may not be used.
    pub async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let bind = async |address, what| {
            TcpListener::bind(address).await.with_context(|| format!("listening on {address} for {what}"))
        };
        Ok(Self {
            metrics: bind(settings.metrics_addr, "metrics").await?,
            health: bind(settings.health_addr, "health").await?,
        })
    }
}

/// Connects to everything, waiting for what is not there yet, and runs until the drain.
///
/// # Errors
/// A [`mutt_core::runtime::StartError`] when a dependency stays away or cannot be used; any other error when a port is
/// taken.
pub async fn start(settings: Settings, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let listeners = Listeners::bind(&settings).await?;
    let secrets = secrets::open(&settings.secrets, &lifecycle).await?;
    let patience = settings.process.start_timeout;
    let connector = Connector::new(&settings.redis, &secrets)?;
    let mut redis = core_redis::wait_until_ready(&connector, patience, &lifecycle).await?;
    core_redis::warn_about_weak_settings(&mut redis).await;
    let pool = wait_for(&lifecycle, "PostgreSQL", patience, DbError::is_outage, || {
        db::connect(&settings.postgres, &secrets)
    })
    .await?;
    if settings.postgres.auto_migrate {
        db::migrate(&pool).await.or_unavailable("PostgreSQL")?;
    } else {
        db::check_schema(&pool).await.or_unavailable("PostgreSQL")?;
    }
    let live = if settings.redis.live_settings {
        LiveSettings::follow(&connector, redis.clone(), &lifecycle).await
    } else {
        LiveSettings::off()
    };
    let deps = Deps { redis, connector, pool, live, clock: Arc::new(SystemClock) };
    run(settings, deps, listeners, lifecycle).await
}

/// Takes events from the ingest queue until the drain, and returns when all that was in hand is settled or given back.
///
/// Answers about its health from the start, but takes no event before the rules could be read.
///
/// # Errors
/// When metrics or listeners cannot be set up; never for an outage.
pub async fn run(
    settings: Settings,
    deps: Deps,
    listeners: Listeners,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let registered = Registered::new(SERVICE, env!("CARGO_PKG_VERSION"))?;
    let metrics = Arc::new(Metrics::new(&registered)?);
    let dependencies = Arc::new(Dependencies::new(deps.redis.clone(), deps.pool.clone()));
    for (name, listener) in [("metrics", listeners.metrics), ("health", listeners.health)] {
        let router = ops::router(registered.registry().clone(), Arc::<Dependencies>::clone(&dependencies));
        let life = lifecycle.clone();
        lifecycle.spawn_critical(name, async move { serve(listener, router, &life).await });
    }
    let drain = lifecycle.draining();
    let Some(rules) = Rules::load(deps.pool.clone(), Arc::clone(&metrics), &drain).await else {
        return Ok(());
    };
    let rules = Arc::new(rules);
    let limits = Limits::new(settings.rules, deps.live);
    let pipeline = settings.queue.pipeline();

    // Before the first row is written: a new database has no partition for this month yet.
    housekeeping::make_partitions(&deps.pool, &*deps.clock).await;
    housekeeping::keep_rules_fresh(&lifecycle, Arc::clone(&rules), limits.clone());
    housekeeping::keep_partitions(
        &lifecycle,
        deps.pool.clone(),
        Arc::clone(&deps.clock),
        Arc::clone(&metrics),
    );
    housekeeping::sample(
        &lifecycle,
        deps.redis.clone(),
        pipeline.clone(),
        Arc::clone(&rules),
        Arc::clone(&deps.clock),
        Arc::clone(&metrics),
    );

    let worker = Alerter {
        rules,
        auditor: Auditor::new(deps.pool, Arc::clone(&metrics), drain.clone()),
        backpressure: Backpressure::new(
            deps.redis.clone(),
            pipeline.alerter.downstream.clone(),
            limits.clone(),
            Arc::clone(&metrics),
        ),
        limits,
        clock: deps.clock,
        metrics,
    };
    let mut lanes = LaneSettings::new(&settings.queue.pod_name, settings.stage.lanes, settings.stage.batch);
    lanes.lease = settings.stage.lease;
    let connector = deps.connector;
    let blocking = Arc::new(move || -> futures_util::future::BoxFuture<'static, _> {
        let connector = connector.clone();
        Box::pin(async move { connector.blocking(DOORBELL_BLOCK).await })
    });
    dependencies.is_ready();
    run_lanes(pipeline.alerter, Arc::new(worker), deps.redis, blocking, lanes, drain, lifecycle.aborting())
        .await;
    Ok(())
}
