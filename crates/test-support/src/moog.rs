//! A stand-in for Moogsoft that remembers everything it was sent and goes wrong on command.
//!
//! It takes what the on-premises webhook takes (`/events/<name>`, `/events`, `/api/v1/events`) and what the cloud's Events
//! API takes (`/v1/integrations/events`), checks keys and fields as far as public text describes the real ones, and
//! answers like them; any other path answers 200 with a login page, as on premises. Beside these, `GET /stats`, `GET
//! /alerts?limit=&external_id=`, `GET /health`, and `GET` and `POST /script` for the faults to show.

mod line;
mod record;
mod routes;
mod script;
mod wire;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::Utc;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    line::{Fate, Lines},
    record::Record,
};
pub use self::{
    record::{Receipt, Stats},
    script::{Chance, Fault, Manner, Script},
    wire::Dialect,
};

/// Which key is asked for, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// `Authorization: Bearer <key>`.
    Bearer(String),
    /// `apiKey: <key>`.
    ApiKey(String),
    /// `Authorization: Basic` of this `user:password`.
    Basic(String),
    /// The key in any of these forms; with Basic, as the password or as the whole pair.
    Any(String),
}

/// Options of a [`MoogServer`]; the defaults suit a test.
#[derive(Debug, Clone)]
pub struct MoogBuilder {
    address: SocketAddr,
    auth: Auth,
    script: Script,
    window: Duration,
}

impl Default for MoogBuilder {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            auth: Auth::None,
            script: Script::default(),
            window: Duration::from_secs(1),
        }
    }
}

impl MoogBuilder {
    /// Listens here; otherwise on a free loopback port.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Asks for a key.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Shows these faults from the start.
    #[must_use]
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// The stretch of time for [`Stats::peak_requests`]; one second otherwise.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(self) -> std::io::Result<MoogServer> {
        let listener = TcpListener::bind(self.address).await?;
        let address = listener.local_addr()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "when this server started, for people; nothing is decided by it"
        )]
        let started_at = Utc::now();
        let inner = Arc::new(Inner {
            started: Instant::now(),
            record: Mutex::new(Record::new(started_at, self.window)),
            script: Mutex::new(self.script),
            auth: Mutex::new(self.auth),
        });
        let service = routes::router(Arc::clone(&inner)).into_make_service_with_connect_info::<Fate>();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = spawn(async move {
            // It only ends when it is told to; accept errors are retried inside.
            let _ended = axum::serve(Lines(listener), service).with_graceful_shutdown(stopped).await;
        });
        Ok(MoogServer { address, inner, stop, serving: AbortOnDropHandle::new(serving) })
    }
}

#[expect(clippy::disallowed_methods, reason = "the handle ends the task when the server is dropped")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(task)
}

/// What the pages share.
#[derive(Debug)]
struct Inner {
    started: Instant,
    record: Mutex<Record>,
    script: Mutex<Script>,
    auth: Mutex<Auth>,
}

impl Inner {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn auth(&self) -> MutexGuard<'_, Auth> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running stand-in; dropping it stops it.
#[derive(Debug)]
pub struct MoogServer {
    address: SocketAddr,
    inner: Arc<Inner>,
    stop: CancellationToken,
    serving: AbortOnDropHandle<()>,
}

impl MoogServer {
    /// Starts one for a test: free loopback port, no key asked for, no faults.
    ///
    /// # Panics
    /// When no loopback port can be bound.
    pub async fn start() -> Self {
        match Self::builder().start().await {
            Ok(server) => server,
            Err(error) => panic!("starting the Moogsoft stand-in: {error}"),
        }
    }

    /// Options to start one with.
    #[must_use]
    pub fn builder() -> MoogBuilder {
        MoogBuilder::default()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The webhook's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/events/webhook_webhook1", self.address)
    }

    /// The address of the cloud's Events API.
    #[must_use]
    pub fn cloud_url(&self) -> String {
        format!("http://{}/v1/integrations/events", self.address)
    }

    /// Shows other faults from the next request on.
    pub fn set_script(&self, script: Script) {
        *self.inner.script() = script;
    }

    /// Asks for another key from the next request on.
    pub fn set_auth(&self, auth: Auth) {
        *self.inner.auth() = auth;
    }

    /// The counts since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.record().stats.clone()
    }

    /// The requests that are still remembered, oldest first.
    #[must_use]
    pub fn receipts(&self) -> Vec<Receipt> {
        self.inner.record().receipts().cloned().collect()
    }

    /// Takes no more requests and waits until those in progress are answered, at most `limit`.
    pub async fn stop(self, limit: Duration) {
        self.stop.cancel();
        // Past the limit the drop below ends it.
        let _ended = tokio::time::timeout(limit, self.serving).await;
    }
}
