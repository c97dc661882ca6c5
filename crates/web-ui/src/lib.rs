//! Shows the pipeline and steers it: the API, versions 1 and 2, and the console.
//!
//! [`start`] connects and binds; [`run`] is the service itself, which tests call. `routes` is the table of paths. Nothing
//! is kept here but sessions: rules and audits are in PostgreSQL, everything live is in Redis, and any number of instances
//! may serve the same pipeline. No change is made without its row in the configuration audit.

mod access;
mod api;
mod health;
mod metrics;
mod pages;
mod routes;
mod sampler;
pub mod settings;
mod slo;
mod state;

use std::sync::Arc;

use anyhow::Context as _;
use mutt_core::{
    db::{self, DbError},
    domain::clock::{Clock, SystemClock},
    http::{ServerTls, serve, serve_tls},
    redis::{self as core_redis, Connector, live_settings::LiveSettings},
    runtime::{Lifecycle, OrUnavailable as _, StartError, wait_for},
    secrets::{self, Key, Secrets},
    telemetry::metrics::Metrics as Registered,
};
use sqlx::PgPool;
use tokio::net::TcpListener;

use self::{
    access::{LiveKeys, Sessions, Throttle},
    api::traffic::TrafficCache,
    health::Dependencies,
    metrics::Metrics,
    sampler::Samples,
    settings::Settings,
    slo::Board,
    state::App,
};

/// The binary's name: in logs and metrics.
pub const SERVICE: &str = "mutt-web-ui";
/// The name in health answers; the original's.
const HEALTH_NAME: &str = "mutt-webui";

/// What the Web UI works with.
pub struct Deps {
    /// Queues, counters, sessions, live settings.
    pub redis: redis::aio::ConnectionManager,
    /// Rules and audits.
    pub pool: PgPool,
    /// The keys of callers.
    pub secrets: Secrets,
    /// What people change while it runs.
    pub live: LiveSettings,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Where API and console are served.
pub struct Listener {
    /// The bound port.
    pub socket: TcpListener,
    /// Its certificate, when it speaks TLS.
    pub tls: Option<ServerTls>,
}

impl Listener {
    /// Binds the port and reads the certificate.
    ///
    /// # Errors
    /// When the port is taken or may not be used, or the certificate cannot be used.
    pub async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let address = settings.listen;
        let socket = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address} for API and console"))?;
        let tls = settings.tls.as_ref().map(ServerTls::for_http).transpose();
        let tls = tls.map_err(|error| StartError::Misconfigured {
            what: "the certificate of the Web UI cannot be used".to_owned(),
            source: Some(error.into()),
        })?;
        Ok(Self { socket, tls })
    }
}

/// Connects to everything, waiting for what is not there yet, and runs until the drain.
///
/// # Errors
/// A [`mutt_core::runtime::StartError`] when a dependency stays away or cannot be used; any other error when the port is
/// taken.
pub async fn start(settings: Settings, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let listener = Listener::bind(&settings).await?;
    let secrets = secrets::open(&settings.secrets, &lifecycle).await?;
    secrets.require_all(&[Key::WebuiApiKey]).map_err(StartError::from)?;
    let patience = settings.process.start_timeout;
    let connector = Connector::new(&settings.redis, &secrets)?;
    let redis = core_redis::wait_until_ready(&connector, patience, &lifecycle).await?;
    let pool = wait_for(&lifecycle, "PostgreSQL", patience, DbError::is_outage, || {
        db::connect(&settings.postgres, &secrets)
    })
    .await?;
    if settings.postgres.auto_migrate {
        db::migrate(&pool).await.or_unavailable("PostgreSQL")?;
    } else {
        db::check_schema(&pool).await.or_unavailable("PostgreSQL")?;
    }
    // Whatever DYNAMIC_CONFIG_ENABLED says for the others: here people look at them.
    let live = LiveSettings::follow(&connector, redis.clone(), &lifecycle).await;
    let deps = Deps { redis, pool, secrets, live, clock: Arc::new(SystemClock) };
    run(settings, deps, listener, lifecycle).await
}

/// Serves API and console until the drain.
///
/// # Errors
/// When metrics or the listener cannot be set up; never for an outage.
pub async fn run(
    settings: Settings,
    deps: Deps,
    listener: Listener,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let registered = Registered::new(SERVICE, env!("CARGO_PKG_VERSION"))?;
    deps.secrets.register_metrics(registered.registry())?;
    let pipeline = settings.queue.pipeline();
    let metrics = Arc::new(Metrics::new(&registered, &pipeline)?);
    let samples = Samples::follow(
        deps.redis.clone(),
        pipeline,
        Arc::clone(&deps.clock),
        Arc::clone(&metrics),
        &lifecycle,
    )
    .await;
    let board = Board::follow(&settings.view.prometheus_url, deps.live, Arc::clone(&deps.clock), &lifecycle)?;
    let app = Arc::new(App {
        view: settings.view,
        is_tls: listener.tls.is_some(),
        pool: deps.pool.clone(),
        redis: deps.redis.clone(),
        keys: LiveKeys::new(deps.secrets),
        sessions: Sessions::new(deps.redis.clone()),
        throttle: Throttle::default(),
        metrics,
        samples,
        board,
        traffic: TrafficCache::default(),
        clock: deps.clock,
    });
    let health = Dependencies { redis: deps.redis, pool: deps.pool };
    let router = routes::router(app, registered.registry().clone(), health);
    tracing::info!(address = %listener.socket.local_addr()?, "serving API and console");
    match listener.tls {
        None => serve(listener.socket, router, &lifecycle).await,
        Some(tls) => serve_tls(listener.socket, tls, router, &lifecycle).await,
    }
}
