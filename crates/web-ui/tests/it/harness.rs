//! Starts the service on a free port and talks to it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use mutt_core::{
    db,
    domain::{
        audit::{EventAudit, Outcome},
        clock::SystemClock,
        event::{EventId, EventSource},
        host::Environment,
    },
    redis::live_settings::LiveSettings,
    runtime::Lifecycle,
    secrets::Secrets,
    settings::Reader,
};
use mutt_test_support::{PostgresServer, RedisServer, eventually, install_tls_provider};
use mutt_web_ui::{Deps, Listener, settings::Settings};
use reqwest::{Client, Method, RequestBuilder, Response, redirect::Policy};
use serde_json::Value;
use sqlx::PgPool;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The administrator's key.
pub(crate) const KEY: &str = "the-admin-key";

/// A running Web UI and what it works with.
pub(crate) struct WebUi {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    pub(crate) pool: PgPool,
    pub(crate) redis: Arc<RedisServer>,
    pub(crate) secrets: mutt_core::secrets::Writer,
    life: Lifecycle,
}

impl Drop for WebUi {
    fn drop(&mut self) {
        self.life.abort("the test is over");
    }
}

impl WebUi {
    /// One on a database and a Redis of its own.
    pub(crate) async fn start() -> Self {
        let pool = pool(&PostgresServer::shared().await.database().await).await;
        db::migrate(&pool).await.unwrap();
        Self::start_on(pool, Arc::new(RedisServer::start().await), &[]).await
    }

    /// One on these servers, with further settings.
    pub(crate) async fn start_on(pool: PgPool, redis: Arc<RedisServer>, more: &[(&str, &str)]) -> Self {
        install_tls_provider();
        let mut settings = vec![
            ("BIND_ADDR", "127.0.0.1"),
            ("SERVER_PORT_WEBUI", "0"),
            ("METRICS_CACHE_TTL", "0"),
            ("PROMETHEUS_URL", "http://127.0.0.1:1"),
            ("SECRETS_BACKEND", "file"),
            ("SECRETS_FILE", "/nowhere"),
        ];
        settings.extend_from_slice(more);
        let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut reader = Reader::load(None, settings).unwrap().for_service("mutt-web-ui");
        let settings = Settings::read(&mut reader);
        let (secrets_writer, secrets) = Secrets::adjustable([
            ("WEBUI_API_KEY", KEY),
            ("WEBUI_API_KEY_VIEWER", "the-viewer-key"),
            ("WEBUI_API_KEY_OPERATOR", "the-operator-key"),
        ]);
        let config = redis::aio::ConnectionManagerConfig::new()
            .set_response_timeout(Some(Duration::from_millis(500)))
            .set_connection_timeout(Some(Duration::from_millis(500)))
            .set_number_of_retries(1);
        let conn = redis::Client::open(redis.url()).unwrap();
        let conn = conn.get_connection_manager_with_config(config).await.unwrap();
        let deps = Deps {
            redis: conn,
            pool: pool.clone(),
            secrets,
            live: LiveSettings::off(),
            clock: Arc::new(SystemClock),
        };
        let listener = Listener::bind(&settings).await.unwrap();
        let address = listener.socket.local_addr().unwrap();
        let life = Lifecycle::for_tests();
        let its_life = life.clone();
        life.spawn_critical(
            "web ui",
            async move { mutt_web_ui::run(settings, deps, listener, its_life).await },
        );
        let client = Client::builder().redirect(Policy::none()).timeout(PATIENCE).build().unwrap();
        let this = Self { address, client, pool, redis, secrets: secrets_writer, life };
        eventually("the service answers", PATIENCE, async || this.get("/health/live").send().await.map(drop))
            .await;
        this
    }

    /// A request without any key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// A GET without any key.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A request of the administrator, answered with status and body.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.request(method, path).header("X-API-KEY", KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request.send().await.unwrap()).await
    }

    /// A GET of the administrator that must succeed.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Logs in and returns the cookie.
    pub(crate) async fn log_in(&self, key: &str) -> String {
        let response = self.submit_login(key, "/").await;
        assert_eq!(response.status(), 303);
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// Sends the login form.
    pub(crate) async fn submit_login(&self, key: &str, next: &str) -> Response {
        self.request(Method::POST, "/login")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("key={key}&next={next}"))
            .send()
            .await
            .unwrap()
    }

    /// A page as its reader gets it.
    pub(crate) async fn page(&self, path: &str, cookie: &str) -> String {
        let response = self.get(path).header("cookie", cookie).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    }
}

/// Status and JSON body; null when it is no JSON.
pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A pool that gives up soon.
pub(crate) async fn pool(url: &str) -> PgPool {
    sqlx::postgres::PgPoolOptions::new()
        .max_connections(5)
        .acquire_timeout(Duration::from_secs(1))
        .connect(url)
        .await
        .unwrap()
}

/// An audited event.
pub(crate) fn event(id: EventId, received_at: DateTime<Utc>) -> EventAudit<'static> {
    EventAudit {
        event_id: id,
        received_at,
        event_timestamp: received_at,
        hostname: "sw1",
        matched_rule_id: Some(7),
        rule_version: Some(1),
        handling_decision: "Page_and_ticket",
        forwarded_to_moog: true,
        outcome: Outcome::Handled,
        environment: Some(Environment::Production),
        team_assignment: Some("NetOps"),
        source: Some(EventSource::Syslog),
        correlation_id: "request-1",
        raw_message: "{}",
    }
}

/// The names of the fields that an answer complains about.
pub(crate) fn faulty_fields(body: &Value) -> Vec<&str> {
    let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().filter_map(|error| error["field"].as_str()).collect()
}
