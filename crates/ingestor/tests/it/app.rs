//! A running ingestor with a Redis of its own, and the senders' side of every socket.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mutt_core::{
    domain::clock::SystemClock,
    redis::{Connector, live_settings::LiveSettings},
    runtime::{Exit, Lifecycle},
    secrets::Secrets,
    settings::Reader,
};
use mutt_ingestor::{Deps, Listeners, run, settings::Settings};
use mutt_test_support::{RedisServer, eventually, install_tls_provider};
use redis::AsyncCommands as _;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "the-senders-key";
pub(crate) const ADMIN_KEY: &str = "the-admins-key";
pub(crate) const QUEUE: &str = "mutt:ingest_queue";
/// For anything that happens in milliseconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct App {
    pub(crate) redis: RedisServer,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) client: reqwest::Client,
    pub(crate) http: SocketAddr,
    pub(crate) udp: Option<SocketAddr>,
    pub(crate) tcp: Option<SocketAddr>,
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// An ingestor with these settings beside the ones a test needs.
    pub(crate) async fn with(env: &[(&str, &str)]) -> Self {
        install_tls_provider();
        let redis = RedisServer::start().await;
        let port = redis.port().to_string();
        let base = [
            ("REDIS_HOST", "127.0.0.1"),
            ("REDIS_PORT", port.as_str()),
            ("BIND_ADDR", "127.0.0.1"),
            ("SERVER_PORT_INGESTOR", "0"),
            ("SYSLOG_UDP_BIND", "127.0.0.1:0"),
            ("SYSLOG_TCP_BIND", "127.0.0.1:0"),
            ("SECRETS_BACKEND", "file"),
            ("SECRETS_FILE", "/nowhere"),
        ];
        let env = base.iter().chain(env).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut reader = Reader::load(None, env).unwrap().for_service("mutt-ingestor");
        let settings = Settings::read(&mut reader);
        reader.finish().unwrap_or_else(|problems| panic!("{problems}"));

        let lifecycle = Lifecycle::for_tests();
        let secrets = Secrets::fixed([("INGEST_API_KEY", KEY), ("WEBUI_API_KEY", ADMIN_KEY)]);
        let connector = Connector::new(&settings.redis, &secrets).unwrap();
        let deps = Deps {
            secrets,
            redis: connector.manager().await.unwrap(),
            syslog_redis: connector.manager().await.unwrap(),
            live: LiveSettings::off(),
            clock: Arc::new(SystemClock),
        };
        let listeners = Listeners::bind(&settings).await.unwrap();
        let http = listeners.http.local_addr().unwrap();
        let udp = listeners.syslog_udp.first().map(|socket| socket.local_addr().unwrap());
        let tcp = listeners.syslog_tcp.as_ref().map(|listener| listener.local_addr().unwrap());
        lifecycle.spawn_critical("ingestor", run(settings, deps, listeners, lifecycle.clone()));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { redis, lifecycle, client, http, udp, tcp }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// A request to the ingest endpoint with a good key.
    pub(crate) fn post(&self) -> RequestBuilder {
        self.client.post(self.url("/ingest")).header("x-api-key", KEY)
    }

    /// Posts JSON and returns status and body.
    pub(crate) async fn send(&self, body: &Value) -> (StatusCode, Value) {
        answer(self.post().json(body).send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.client.get(self.url(path)).send().await.unwrap()).await
    }

    pub(crate) async fn queue_length(&self) -> usize {
        self.redis.connection().await.llen(QUEUE).await.unwrap()
    }

    /// Waits until the queue holds `count` entries, and returns them, oldest first.
    pub(crate) async fn events(&self, count: usize) -> Vec<Value> {
        eventually("events on the queue", SOON, async || {
            let length = self.queue_length().await;
            if length == count { Ok(()) } else { Err(format!("{length} of {count}")) }
        })
        .await;
        self.all_events().await
    }

    pub(crate) async fn all_events(&self) -> Vec<Value> {
        let entries: Vec<String> = self.redis.connection().await.lrange(QUEUE, 0, -1).await.unwrap();
        entries.iter().rev().map(|entry| serde_json::from_str(entry).unwrap()).collect()
    }

    /// Accepted events by the ledger, which counts in the same step that stores them.
    pub(crate) async fn ledger_in(&self) -> usize {
        let counted: Option<usize> =
            self.redis.connection().await.hget("mutt:ledger", "alerter:in").await.unwrap();
        counted.unwrap_or_default()
    }

    /// The value of one series on `/metrics`.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let page = self.client.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap();
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    pub(crate) async fn tcp(&self) -> tokio::net::TcpStream {
        tokio::net::TcpStream::connect(self.tcp.unwrap()).await.unwrap()
    }

    pub(crate) async fn send_udp(&self, datagrams: &[&[u8]]) {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for datagram in datagrams {
            socket.send_to(datagram, self.udp.unwrap()).await.unwrap();
        }
    }

    pub(crate) async fn stop(&self) -> Exit {
        self.lifecycle.drain("the test is over");
        self.lifecycle.wait().await
    }
}

pub(crate) async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// An event that nothing is wrong with.
pub(crate) fn good() -> Value {
    json!({"hostname": "sw1", "message": "link down", "timestamp": chrono::DateTime::<chrono::Utc>::from(now())})
}

#[expect(clippy::disallowed_methods, reason = "the service under test reads the same clock")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
