//! Running forwarders with a Redis and a Moogsoft stand-in of their own, and the questions that tests ask of them.

use std::{sync::Arc, time::Duration};

use mutt_core::{
    domain::{
        alert::{Alert, AlertId},
        clock::{Clock as _, SystemClock},
        event::EventId,
    },
    queue::{DeadLetter, ledger},
    redis::{Connector, breaker::BreakerSettings, keys::Pipeline, live_settings::LiveSettings},
    runtime::{Exit, Lifecycle},
    secrets::{Secrets, Writer},
    settings::{Reader, telemetry::TelemetrySettings},
    telemetry::{self, Identity},
};
use mutt_moog_forwarder::{Deps, Listeners, settings::Settings};
use mutt_test_support::{
    RedisServer, eventually, install_tls_provider,
    moog::{Auth, MoogServer},
};
use redis::AsyncCommands as _;
use serde_json::value::RawValue;
use tokio_util::task::AbortOnDropHandle;

/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
/// The key that stand-in and forwarders agree on.
pub(crate) const KEY: &str = "moog-key";
const QUEUE: &str = "mutt:alert_queue";
const DLQ: &str = "mutt:dlq:moog";

/// Servers that outlive forwarders, so that a test can stop one and start the next.
pub(crate) struct Stack {
    pub(crate) redis: RedisServer,
    pub(crate) moog: MoogServer,
    secrets: Writer,
    read_secrets: Secrets,
    extra: Vec<(String, String)>,
    url: String,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::with(MoogServer::builder().auth(Auth::Bearer(KEY.into())).start().await.expect("a port")).await
    }

    pub(crate) async fn with(moog: MoogServer) -> Self {
        let (secrets, read_secrets) = Secrets::adjustable([("MOOG_API_KEY", KEY)]);
        let url = moog.url();
        Self { redis: RedisServer::start().await, moog, secrets, read_secrets, extra: Vec::new(), url }
    }

    /// Sends to another address of the stand-in.
    pub(crate) fn send_to(&mut self, url: String) {
        self.url = url;
    }

    /// Sets a setting of the forwarders that are started from here on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.extra.push((key.to_owned(), value.to_owned()));
    }

    /// Changes the key that running forwarders present.
    pub(crate) fn rotate_key(&self, key: &str) {
        self.secrets.replace([("MOOG_API_KEY", key)]);
    }

    fn settings(&self) -> Settings {
        let own = [
            ("REDIS_HOST", "127.0.0.1".to_owned()),
            ("REDIS_PORT", self.redis.port().to_string()),
            ("SECRETS_BACKEND", "file".to_owned()),
            ("SECRETS_FILE", "/nonexistent".to_owned()),
            ("BIND_ADDR", "127.0.0.1".to_owned()),
            ("METRICS_PORT_MOOG", "0".to_owned()),
            ("HEALTH_PORT_MOOG", "0".to_owned()),
            // Two at once must not take each other for an earlier life of themselves.
            ("POD_NAME", format!("test-{}", EventId::new(SystemClock.now()))),
            ("MOOG_RATE_LIMIT", "0".to_owned()),
            ("MOOG_LANES", "8".to_owned()),
            ("MOOG_WEBHOOK_TIMEOUT", "2".to_owned()),
            ("MOOG_WEBHOOK_URL", self.url.clone()),
        ];
        let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
        let mut reader = Reader::load(None, own.chain(self.extra.iter().cloned())).expect("no file is read");
        let settings = Settings::read(&mut reader);
        // Shown by a test that fails; a second forwarder of one test logs where the first does.
        let identity =
            Identity { service: mutt_moog_forwarder::SERVICE, version: "test", pod_name: "test".to_owned() };
        let _logs_already = telemetry::init(&TelemetrySettings::read(&mut reader), identity);
        reader.finish().expect("good settings");
        settings
    }

    /// Starts a forwarder that is as patient as tests can be.
    pub(crate) async fn forwarder(&self) -> Running {
        self.forwarder_with(|_| {}).await
    }

    /// Starts a forwarder with settings that no person could choose.
    pub(crate) async fn forwarder_with(&self, adjust: impl FnOnce(&mut Settings)) -> Running {
        install_tls_provider();
        let mut settings = self.settings();
        settings.sending.retries.base = Duration::from_millis(10);
        settings.sending.retries.max = Duration::from_millis(200);
        settings.sending.breaker = settings.sending.breaker.map(|breaker| BreakerSettings {
            open_min: Duration::from_millis(100),
            open_max: Duration::from_millis(400),
            ..breaker
        });
        adjust(&mut settings);
        let lifecycle = Lifecycle::for_tests();
        let connector = Connector::new(&settings.redis, &Secrets::fixed([])).expect("a connector");
        let redis = connector.manager().await.expect("a connection to Redis");
        let live = if settings.redis.live_settings {
            LiveSettings::follow(&connector, redis.clone(), &lifecycle).await
        } else {
            LiveSettings::off()
        };
        let secrets = self.read_secrets.clone();
        let deps = Deps { redis, connector, secrets, live, clock: Arc::new(SystemClock) };
        let listeners = Listeners::bind(&settings).await.expect("free ports");
        let address = |listener: &tokio::net::TcpListener| listener.local_addr().expect("it is bound");
        let metrics = format!("http://{}/metrics", address(&listeners.metrics));
        let health = format!("http://{}/health", address(&listeners.health));
        let life = lifecycle.clone();
        let run = mutt_moog_forwarder::run(settings, deps, listeners, life);
        #[expect(clippy::disallowed_methods, reason = "dropping the handle is the crash that a test needs")]
        let task =
            AbortOnDropHandle::new(tokio::spawn(async move { run.await.expect("the forwarder runs") }));
        Running { lifecycle, task, metrics, health, http: client() }
    }

    /// Puts alerts on the queue as the alerter does, and returns their ids.
    pub(crate) async fn push(&self, alerts: impl IntoIterator<Item = Alert>) -> Vec<String> {
        let mut conn = self.redis.connection().await;
        let alerts: Vec<Alert> = alerts.into_iter().collect();
        for alerts in alerts.chunks(1_000) {
            let entries: Vec<Vec<u8>> =
                alerts.iter().map(|alert| serde_json::to_vec(alert).expect("json")).collect();
            let mut both = redis::pipe();
            both.atomic().lpush(QUEUE, &entries).hincr("mutt:ledger", "moog:in", entries.len());
            let () = both.query_async(&mut conn).await.expect("Redis answers");
        }
        alerts.iter().map(|alert| alert.id.to_string()).collect()
    }

    /// Puts an entry on the queue as it is.
    pub(crate) async fn push_raw(&self, entry: &[u8]) {
        let () = self.redis.connection().await.lpush(QUEUE, entry).await.expect("Redis answers");
    }

    pub(crate) async fn queued(&self) -> usize {
        self.redis.connection().await.llen(QUEUE).await.expect("Redis answers")
    }

    pub(crate) async fn delayed(&self) -> usize {
        self.redis.connection().await.zcard("mutt:delayed:moog").await.expect("Redis answers")
    }

    /// The dead letters, taken apart, newest first.
    pub(crate) async fn dead(&self) -> Vec<(DeadLetter, String)> {
        let entries: Vec<String> =
            self.redis.connection().await.lrange(DLQ, 0, -1).await.expect("Redis answers");
        entries.iter().map(|entry| DeadLetter::unwrap_entry(entry).expect("a dead letter")).collect()
    }

    /// What the ledger counts for the forwarder's stage: delivered, dead; and that it balances.
    pub(crate) async fn ledger(&self) -> (i64, i64) {
        let mut conn = self.redis.connection().await;
        let ledger = ledger::read(&mut conn, &Pipeline::default()).await.expect("Redis answers");
        assert_eq!(ledger.imbalance(), 0, "{ledger:#?}");
        let stage = ledger.stage("moog").expect("the stage is there");
        (stage.count("delivered"), stage.count("dead"))
    }

    /// Waits until that many alerts are acknowledged.
    pub(crate) async fn delivered(&self, alerts: i64) {
        eventually(&format!("{alerts} alerts are delivered"), LIMIT, async || {
            let (delivered, dead) = self.ledger().await;
            if delivered == alerts { Ok(()) } else { Err(format!("{delivered} delivered, {dead} dead")) }
        })
        .await;
    }
}

/// One forwarder; dropping it is a crash: nothing is given back.
pub(crate) struct Running {
    pub(crate) lifecycle: Lifecycle,
    task: AbortOnDropHandle<()>,
    metrics: String,
    health: String,
    http: reqwest::Client,
}

impl Running {
    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(self) {
        self.lifecycle.drain("the test");
        self.ended().await;
    }

    /// Waits until it has stopped, however it was asked to.
    pub(crate) async fn ended(self) {
        let exit = tokio::time::timeout(LIMIT, async {
            self.task.await.expect("it does not panic");
            self.lifecycle.wait().await
        });
        assert_eq!(exit.await.expect("it stops"), Exit::Clean);
    }

    /// One counter or gauge of whole numbers by its name with labels, as it is on the page.
    pub(crate) async fn metric(&self, name: &str) -> i64 {
        let page = self.http.get(&self.metrics).send().await.expect("metrics").text().await.expect("a page");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().expect("a number")
    }

    pub(crate) async fn health(&self) -> (u16, serde_json::Value) {
        let answer = self.http.get(&self.health).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// A valid alert; `number` makes it one of its own.
pub(crate) fn alert(number: usize) -> Alert {
    let event = EventId::new(SystemClock.now());
    let raw = format!(r#"{{"_id":"{event}","hostname":"sw{number}","message":"down"}}"#);
    Alert {
        id: AlertId::for_event(event, 7),
        correlation_id: format!("req-{number}"),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        retry_count: 0,
        unhandled_count: None,
        hostname: format!("sw{number}"),
        team_assignment: "NETO".into(),
        severity: "error".into(),
        moog_severity: None,
        message_body: "%LINK-3-UPDOWN: down".into(),
        handling_decision: "Page_only".into(),
        environment: "prod".into(),
        rule_id: Some(7),
        event_id: Some(event),
        event_timestamp: Some(SystemClock.now()),
        signature: format!("sw{number}::LINK-3-UPDOWN::rule-7"),
        raw_json: RawValue::from_string(raw).ok(),
    }
}

/// That many different alerts.
pub(crate) fn alerts(count: usize) -> impl Iterator<Item = Alert> {
    (0..count).map(alert)
}
