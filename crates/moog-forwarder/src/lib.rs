//! Delivers alerts to Moogsoft.
//!
//! [`start`] connects and binds; [`run`] is the service itself, which tests call. Inside, [`worker`] has the flow of one
//! alert: [`gate`] says whether it may go, [`payload`] (pure) what is sent, [`client`] sends it, and [`outcome`] (pure) says
//! what the answer means.

pub mod client;
pub mod gate;
mod health;
mod housekeeping;
pub mod metrics;
pub mod outcome;
pub mod payload;
pub mod settings;
pub mod worker;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use mutt_core::{
    domain::clock::{Clock, SystemClock},
    http::{ops, serve},
    queue::{LaneSettings, run_lanes},
    redis::{
        self as core_redis, Connector, breaker::Breaker, live_settings::LiveSettings,
        rate_limiter::RateLimiter,
    },
    runtime::{Lifecycle, StartError},
    secrets::{self, Key, Secrets},
    telemetry::metrics::Metrics as Registered,
};
use redis::aio::ConnectionManager;
use tokio::net::TcpListener;

use self::{
    client::{ClientSettings, MoogClient},
    gate::SendGate,
    health::Dependencies,
    metrics::{BREAKER_NAME, Metrics},
    settings::Settings,
    worker::{FaultReports, Forwarder},
};

/// The service's name: in health answers, logs and metrics.
pub const SERVICE: &str = "mutt-moog-forwarder";
/// The doorbell's connection waits this long in Redis.
const DOORBELL_BLOCK: Duration = Duration::from_secs(2);

/// What the forwarder works with.
pub struct Deps {
    /// Shared by everything that does not wait in Redis.
    pub redis: ConnectionManager,
    /// Opens more connections.
    pub connector: Connector,
    /// The key, as it is now.
    pub secrets: Secrets,
    /// What people change while it runs.
    pub live: LiveSettings,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Where the forwarder is asked how it is.
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

/// Connects to everything but Moogsoft, waiting for what is not there yet, and runs until the drain.
///
/// # Errors
/// A [`StartError`] when a dependency stays away or cannot be used; any other error when a port is taken.
pub async fn start(settings: Settings, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let listeners = Listeners::bind(&settings).await?;
    let secrets = secrets::open(&settings.secrets, &lifecycle).await?;
    secrets.require(Key::MoogApiKey).map_err(StartError::misconfigured)?;
    let connector = Connector::new(&settings.redis, &secrets)?;
    let mut redis =
        core_redis::wait_until_ready(&connector, settings.process.start_timeout, &lifecycle).await?;
    core_redis::warn_about_weak_settings(&mut redis).await;
    let live = if settings.redis.live_settings {
        LiveSettings::follow(&connector, redis.clone(), &lifecycle).await
    } else {
        LiveSettings::off()
    };
    let deps = Deps { redis, connector, secrets, live, clock: Arc::new(SystemClock) };
    run(settings, deps, listeners, lifecycle).await
}

/// Takes alerts from the alert queue until the drain, and returns when all that was in hand is settled or given back.
///
/// # Errors
/// When the client, metrics or listeners cannot be set up; never for an outage.
pub async fn run(
    settings: Settings,
    deps: Deps,
    listeners: Listeners,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let registered = Registered::new(SERVICE, env!("CARGO_PKG_VERSION"))?;
    let metrics = Metrics::new(&registered)?;
    deps.secrets.register_metrics(registered.registry())?;
    let health = Arc::new(Dependencies(deps.redis.clone()));
    for (name, listener) in [("metrics", listeners.metrics), ("health", listeners.health)] {
        let router = ops::router(registered.registry().clone(), Arc::<Dependencies>::clone(&health));
        let life = lifecycle.clone();
        lifecycle.spawn_critical(name, async move { serve(listener, router, &life).await });
    }
    let forwarder = Arc::new(forwarder(&settings, &deps, &lifecycle, &metrics)?);
    let keys = settings.queue.pipeline().moog;
    housekeeping::sample(&lifecycle, deps.redis.clone(), &keys, &forwarder, &metrics);
    housekeeping::follow_live_settings(&lifecycle, deps.live, &settings, &forwarder);
    housekeeping::retry_on_new_key(&lifecycle, &deps.secrets, &forwarder);

    let mut lanes = LaneSettings::new(&settings.queue.pod_name, settings.stage.lanes, settings.stage.batch);
    lanes.lease = settings.stage.lease;
    let connector = deps.connector;
    let blocking = Arc::new(move || -> BoxFuture<'static, _> {
        let connector = connector.clone();
        Box::pin(async move { connector.blocking(DOORBELL_BLOCK).await })
    });
    run_lanes(keys, forwarder, deps.redis, blocking, lanes, lifecycle.draining(), lifecycle.aborting()).await;
    Ok(())
}

fn forwarder(
    settings: &Settings,
    deps: &Deps,
    lifecycle: &Lifecycle,
    metrics: &Metrics,
) -> anyhow::Result<Forwarder> {
    let (moog, sending) = (&settings.moog, &settings.sending);
    let limiter = RateLimiter::new(deps.redis.clone(), &sending.limit_key, sending.limit);
    let breaker = sending.breaker.map(|breaker| {
        let changes = metrics.clone();
        let on_change = Box::new(move |from, to| changes.breaker_changed(from, to));
        Breaker::new(deps.redis.clone(), &format!("mutt:circuit_breaker:{BREAKER_NAME}"), breaker, on_change)
    });
    let client = client_settings(settings)?;
    let client =
        MoogClient::new(&client, deps.secrets.clone(), Arc::clone(&deps.clock)).map_err(|error| {
            StartError::misconfigured(format!("the client for Moogsoft cannot be set up: {error}"))
        })?;
    Ok(Forwarder {
        gate: SendGate::new(limiter, breaker, lifecycle.draining(), metrics.clone()),
        client,
        dialect: moog.dialect,
        retries: sending.retries,
        metrics: metrics.clone(),
        clock: Arc::clone(&deps.clock),
        reported: FaultReports::default(),
    })
}

fn client_settings(settings: &Settings) -> Result<ClientSettings, StartError> {
    let moog = &settings.moog;
    let url =
        moog.url.clone().ok_or_else(|| StartError::misconfigured("MOOG_WEBHOOK_URL is not an address"))?;
    let extra_authorities = match &moog.ca_cert {
        None => None,
        Some(path) => Some(std::fs::read(path).map_err(|error| {
            StartError::misconfigured(format!(
                "MOOG_CA_CERT_PATH: {} cannot be read: {error}",
                path.display()
            ))
        })?),
    };
    Ok(ClientSettings {
        url,
        timeout: moog.timeout,
        auth: moog.auth,
        extra_authorities,
        proxy: moog.proxy.clone(),
        connections: settings.stage.lanes,
    })
}
