//! Takes events by HTTP and syslog and puts them on the ingest queue.
//!
//! [`start`] connects and binds; [`run`] is the service itself, which tests call. An HTTP event goes `routes` -> `ingest`
//! -> `wire` (JSON to event) -> `stream` (many requests, one batch); a syslog message goes `syslog` -> its buffer. Both
//! end in the enqueue script. What must never happen: a 200 before Redis has the event, memory that grows with what
//! senders do, a loss that is not counted.

mod answer;
mod body;
mod cap;
mod flags;
mod health;
mod ingest;
mod keys;
mod limiter;
mod metrics;
mod request;
mod routes;
pub mod settings;
pub mod sources;
mod stream;
pub mod syslog;
pub mod wire;

use std::sync::Arc;

use ::redis::aio::ConnectionManager;
use anyhow::Context as _;
use mutt_core::{
    domain::clock::{Clock, SystemClock},
    http::serve,
    queue::Enqueuer,
    redis::{self as core_redis, Connector, live_settings::LiveSettings},
    runtime::Lifecycle,
    secrets::{self, Secrets},
    telemetry::metrics::Metrics as Registered,
};
use tokio::net::{TcpListener, UdpSocket};
use tracing::{debug, info};

use self::{
    body::BodyReader,
    cap::QueueCap,
    health::Dependencies,
    ingest::App,
    keys::LiveKeys,
    limiter::Limiter,
    metrics::Metrics,
    routes::Shown,
    settings::Settings,
    syslog::{
        buffer::{self, Buffer},
        intake::Intake,
        kernel_drops::KernelDrops,
        tcp, udp,
    },
};

/// The service's name: in health answers, logs and metrics.
pub const SERVICE: &str = "mutt-ingestor";
/// Syslog events from TCP on their way to Redis: enough to keep the streams busy. No more, as they are what a stop loses
/// when the queue stays full; the rest waits with its senders.
const TCP_BUFFER_BYTES: usize = 2 << 20;

/// What the ingestor works with.
pub struct Deps {
    /// Keys of senders and administrators.
    pub secrets: Secrets,
    /// For HTTP, health and the limiter.
    pub redis: ConnectionManager,
    /// For syslog, so that its large batches hold up nobody who waits for an answer.
    pub syslog_redis: ConnectionManager,
    /// What people change while it runs.
    pub live: LiveSettings,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Where the ingestor is sent to.
#[derive(Debug)]
pub struct Listeners {
    /// Events, health, metrics.
    pub http: TcpListener,
    /// Sockets on one port; none when UDP is off.
    pub syslog_udp: Vec<UdpSocket>,
    /// `None` when TCP is off.
    pub syslog_tcp: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the settings name; port 0 takes a free one.
    ///
    /// # Errors
    /// When a port is taken or may not be used.
    pub async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let tcp = async |address, what| {
            TcpListener::bind(address).await.with_context(|| format!("listening on {address} for {what}"))
        };
        let syslog = &settings.syslog;
        Ok(Self {
            http: tcp(settings.listen, "HTTP").await?,
            syslog_udp: match syslog.udp {
                Some(address) => udp::bind(address, syslog.udp_sockets, syslog.udp_receive_buffer)
                    .with_context(|| format!("listening on {address} for syslog over UDP"))?,
                None => Vec::new(),
            },
            syslog_tcp: match syslog.tcp {
                Some(address) => Some(tcp(address, "syslog over TCP").await?),
                None => None,
            },
        })
    }

    /// Says where events are taken; with port 0 in the settings nobody would know.
    fn announce(&self) {
        let shown = |address: std::io::Result<std::net::SocketAddr>| {
            address.map_or_else(|_| "?".to_owned(), |a| a.to_string())
        };
        let off = || "off".to_owned();
        let udp = self.syslog_udp.first().map_or_else(off, |socket| shown(socket.local_addr()));
        let tcp = self.syslog_tcp.as_ref().map_or_else(off, |listener| shown(listener.local_addr()));
        let http = shown(self.http.local_addr());
        info!(
            http,
            syslog_udp = udp,
            syslog_tcp = tcp,
            "taking events: HTTP on {http}, syslog on {udp} (UDP) and {tcp} (TCP)"
        );
    }
}

/// Connects to Redis, waiting for it if need be, and runs until the drain.
///
/// # Errors
/// A [`mutt_core::runtime::StartError`] when Redis or the secrets stay away or cannot be used; any other error when a
/// port is taken.
pub async fn start(settings: Settings, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let listeners = Listeners::bind(&settings).await?;
    let secrets = secrets::open(&settings.secrets, &lifecycle).await?;
    let connector = Connector::new(&settings.redis, &secrets)?;
    let patience = settings.process.start_timeout;
    let mut redis = core_redis::wait_until_ready(&connector, patience, &lifecycle).await?;
    core_redis::warn_about_weak_settings(&mut redis).await;
    let syslog_redis = core_redis::wait_until_ready(&connector, patience, &lifecycle).await?;
    let live = if settings.redis.live_settings {
        LiveSettings::follow(&connector, redis.clone(), &lifecycle).await
    } else {
        LiveSettings::off()
    };
    let deps = Deps { secrets, redis, syslog_redis, live, clock: Arc::new(SystemClock) };
    run(settings, deps, listeners, lifecycle).await
}

/// Takes events until the drain. Its tasks run on `lifecycle`; they end when everything that was taken is stored.
///
/// # Errors
/// When there is no key for senders, or metrics cannot be set up; never for an outage.
pub async fn run(
    settings: Settings,
    deps: Deps,
    listeners: Listeners,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let registered = Registered::new(SERVICE, env!("CARGO_PKG_VERSION"))?;
    deps.secrets.register_metrics(registered.registry())?;
    let metrics = Arc::new(Metrics::new(&registered)?);
    let keys = LiveKeys::follow(&deps.secrets, &lifecycle)?;
    listeners.announce();
    let service = Parts { settings, deps, metrics, lifecycle };
    service.serve_syslog(listeners.syslog_udp, listeners.syslog_tcp);
    service.serve_http(listeners.http, keys, &registered);
    health::sample_depth(
        &service.lifecycle,
        &service.deps.redis,
        &service.settings.queue.ingest,
        &service.metrics,
    );
    service.lifecycle.draining().cancelled().await;
    Ok(())
}

/// What the tasks are made from.
struct Parts {
    settings: Settings,
    deps: Deps,
    metrics: Arc<Metrics>,
    lifecycle: Lifecycle,
}

impl Parts {
    fn cap(&self) -> QueueCap {
        QueueCap::new(self.settings.ingest.max_queue, self.deps.live.clone())
    }

    fn enqueuer(&self, conn: &ConnectionManager) -> Enqueuer {
        let stage = self.settings.queue.pipeline().alerter;
        Enqueuer::new(conn.clone(), stage, &self.settings.ingest.metrics_prefix)
    }

    fn serve_http(&self, listener: TcpListener, keys: LiveKeys, registered: &Registered) {
        let (commit, submissions) = stream::channel();
        for _ in 0..self.settings.ingest.streams {
            let enqueuer = self.enqueuer(&self.deps.redis);
            let stream = stream::run(submissions.clone(), enqueuer, self.cap(), Arc::clone(&self.deps.clock));
            self.lifecycle.spawn_critical("http stream", async move {
                stream.await;
                Ok(())
            });
        }
        let ingest = &self.settings.ingest;
        let limiter = ingest
            .rate_limit
            .map(|limit| Limiter::new(self.deps.redis.clone(), limit, self.deps.live.clone()));
        let app = App {
            keys,
            sources: ingest.sources.clone(),
            limiter,
            bodies: BodyReader::new(ingest.max_body_bytes),
            max_body_bytes: ingest.max_body_bytes,
            rules: Arc::new(wire::Rules {
                required: ingest.required_fields.clone(),
                max_event_bytes: ingest.max_event_bytes,
            }),
            commit,
            clock: Arc::clone(&self.deps.clock),
            metrics: Arc::clone(&self.metrics),
            cap: self.cap(),
        };
        let shown = Shown {
            in_force: self.settings.in_force.clone(),
            live: self.deps.live.clone(),
            follows_live: self.settings.redis.live_settings,
        };
        let health = Arc::new(Dependencies::new(self.deps.redis.clone()));
        let router = routes::router(Arc::new(app), shown, registered.registry().clone(), health);
        let life = self.lifecycle.clone();
        // The router owns the way to the streams: they end when the last request is answered.
        self.lifecycle.spawn_critical("http", async move { serve(listener, router, &life).await });
    }

    fn serve_syslog(&self, sockets: Vec<UdpSocket>, listener: Option<TcpListener>) {
        let settings = &self.settings.syslog;
        let intake = Intake::new(
            self.settings.ingest.max_event_bytes,
            self.settings.ingest.sources.clone(),
            Arc::clone(&self.deps.clock),
            Arc::clone(&self.metrics),
        );
        let (udp_buffer, taken) = buffer::channel(settings.udp_buffer_bytes);
        let tcp_buffer = udp_buffer.share(TCP_BUFFER_BYTES);
        if sockets.is_empty() && listener.is_none() {
            return;
        }
        for _ in 0..self.settings.ingest.streams {
            let stream = buffer::Stream {
                taken: taken.clone(),
                cap: self.cap(),
                clock: Arc::clone(&self.deps.clock),
                metrics: Arc::clone(&self.metrics),
                aborting: self.lifecycle.aborting(),
            };
            let enqueuer = self.enqueuer(&self.deps.syslog_redis);
            self.lifecycle.spawn_critical("syslog stream", async move {
                stream.run(enqueuer).await;
                Ok(())
            });
        }
        self.serve_udp(sockets, &intake, &udp_buffer);
        if let Some(listener) = listener {
            let limits = tcp::Limits {
                connections: settings.tcp_connections,
                frame_timeout: settings.tcp_frame_timeout,
            };
            let accepting = tcp::accept(listener, limits, intake, tcp_buffer, self.lifecycle.draining());
            self.lifecycle.spawn_critical("syslog tcp", accepting);
        }
    }

    fn serve_udp(&self, sockets: Vec<UdpSocket>, intake: &Intake, buffer: &Buffer) {
        let Some(first) = sockets.first() else { return };
        debug!(sockets = sockets.len(), receive_buffer = udp::receive_buffer_of(first), "syslog over UDP");
        let drops = KernelDrops::of(&sockets);
        let counting = udp::count_kernel_drops(drops, intake.clone(), self.lifecycle.draining());
        self.lifecycle.spawn("syslog udp drops", counting);
        for socket in sockets {
            let receiving = udp::receive(socket, intake.clone(), buffer.clone(), self.lifecycle.draining());
            self.lifecycle.spawn_critical("syslog udp", receiving);
        }
    }
}
