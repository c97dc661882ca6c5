//! A running alerter with servers of its own, and the questions that tests ask of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mutt_alerter::{Deps, Listeners, settings::Settings};
use mutt_core::{
    db,
    domain::{
        clock::{Clock as _, SystemClock},
        event::{EventHeader, EventId, EventSource, EventWriter},
        rule::Rule,
    },
    queue::{Enqueued, Enqueuer, Item, ledger},
    redis::{Connector, live_settings::LiveSettings},
    runtime::{Exit, Lifecycle},
    secrets::Secrets,
    settings::{Reader, telemetry::TelemetrySettings},
    telemetry::{self, Identity},
};
use mutt_test_support::{PostgresServer, RedisServer, eventually, install_tls_provider};
use redis::AsyncCommands as _;
use serde_json::Value;
use sqlx::{
    PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// Longer than anything here takes on a busy machine, outages with their waits included.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Servers that outlive alerters, so that a test can stop one and start the next.
pub(crate) struct Stack {
    pub(crate) redis: RedisServer,
    pub(crate) database: String,
    pub(crate) pool: PgPool,
    extra: Vec<(String, String)>,
}

impl Stack {
    /// A Redis of its own, a fresh migrated database on the shared PostgreSQL.
    pub(crate) async fn start() -> Self {
        Self::on(PostgresServer::shared().await).await
    }

    /// A Redis of its own, a fresh migrated database on this PostgreSQL.
    pub(crate) async fn on(postgres: &PostgresServer) -> Self {
        let database = postgres.database().await;
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .connect(&database)
            .await
            .unwrap();
        db::migrate(&pool).await.unwrap();
        Self { redis: RedisServer::start().await, database, pool, extra: Vec::new() }
    }

    /// Sets a setting of the alerters that are started from here on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.extra.push((key.to_owned(), value.to_owned()));
    }

    pub(crate) fn settings(&self) -> Settings {
        let database: PgConnectOptions = self.database.parse().unwrap();
        let own = [
            ("REDIS_HOST", "127.0.0.1".to_owned()),
            ("REDIS_PORT", self.redis.port().to_string()),
            ("DB_HOST", "127.0.0.1".to_owned()),
            ("DB_PORT", database.get_port().to_string()),
            ("DB_NAME", database.get_database().unwrap().to_owned()),
            ("DB_USER", database.get_username().to_owned()),
            ("SECRETS_BACKEND", "file".to_owned()),
            ("SECRETS_FILE", "/nonexistent".to_owned()),
            ("METRICS_PORT_ALERTER", "0".to_owned()),
            ("HEALTH_PORT_ALERTER", "0".to_owned()),
            ("BIND_ADDR", "127.0.0.1".to_owned()),
            ("POD_NAME", "test".to_owned()),
        ];
        let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
        let mut reader = Reader::load(None, own.chain(self.extra.iter().cloned())).unwrap();
        let settings = Settings::read(&mut reader);
        // Shown by a test that fails; a second alerter of one test logs where the first does.
        let identity =
            Identity { service: mutt_alerter::SERVICE, version: "test", pod_name: "test".to_owned() };
        let _logs_already = telemetry::init(&TelemetrySettings::read(&mut reader), identity);
        reader.finish().unwrap();
        settings
    }

    /// Starts an alerter; it may not be ready yet.
    pub(crate) async fn alerter(&self) -> Running {
        install_tls_provider();
        let settings = self.settings();
        let lifecycle = Lifecycle::for_tests();
        let connector = Connector::new(&settings.redis, &no_secrets()).unwrap();
        let redis = connector.manager().await.unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(2))
            .connect_lazy(&self.database)
            .unwrap();
        let live = if settings.redis.live_settings {
            LiveSettings::follow(&connector, redis.clone(), &lifecycle).await
        } else {
            LiveSettings::off()
        };
        let deps = Deps { redis, connector, pool, live, clock: Arc::new(SystemClock) };
        let listeners = Listeners::bind(&settings).await.unwrap();
        let metrics = format!("http://{}", listeners.metrics.local_addr().unwrap());
        let health = format!("http://{}", listeners.health.local_addr().unwrap());
        let life = lifecycle.clone();
        lifecycle.spawn_critical("alerter", mutt_alerter::run(settings, deps, listeners, life));
        Running { lifecycle, metrics, health, http: reqwest::Client::builder().build().unwrap() }
    }

    /// Puts events on the ingest queue, in this order, as the ingestor does.
    pub(crate) async fn push(&self, entries: impl IntoIterator<Item = Entry>) {
        let settings = self.settings();
        let connector = Connector::new(&settings.redis, &no_secrets()).unwrap();
        let conn = connector.manager().await.unwrap();
        let mut enqueuer = Enqueuer::new(conn, settings.queue.pipeline().alerter, "mutt:metrics");
        let items: Vec<Item> = entries.into_iter().map(Entry::into_item).collect();
        for items in items.chunks(1000) {
            let now = SystemClock.now();
            let stored = enqueuer.enqueue(items, 1_000_000, now, LIMIT).await.unwrap();
            assert!(matches!(stored, Enqueued::Stored { .. }), "{stored:?}");
        }
    }

    /// Puts entries on the ingest queue as they are, past all that MUTT's own producers do.
    pub(crate) async fn push_raw(&self, entries: &[Vec<u8>]) {
        let mut conn = self.redis.connection().await;
        let _: usize = conn.lpush("mutt:ingest_queue", entries).await.unwrap();
    }

    /// Adds a rule as it is and returns its id.
    pub(crate) async fn rule(&self, rule: Rule) -> i32 {
        sqlx::query_scalar(
            "insert into alert_rules (match_type, match_string, trap_oid, syslog_severity, priority, prod_handling,
                dev_handling, team_assignment, moog_severity)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id",
        )
        .bind(rule.match_type.as_str())
        .bind(rule.match_string)
        .bind(rule.trap_oid)
        .bind(rule.syslog_severity.map(|severity| i32::from(severity.get())))
        .bind(rule.priority)
        .bind(rule.prod_handling.as_str())
        .bind(rule.dev_handling.as_str())
        .bind(rule.team_assignment)
        .bind(rule.moog_severity.map(i16::from))
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Audit rows by event id: how many, and the last one's words.
    pub(crate) async fn audit(&self) -> BTreeMap<String, Audited> {
        let rows = sqlx::query(
            "select event_id::text, outcome, handling_decision, forwarded_to_moog, matched_rule_id, team_assignment,
                environment from event_audit_log",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let mut audit: BTreeMap<String, Audited> = BTreeMap::new();
        for row in rows {
            let entry = audit.entry(row.get(0)).or_default();
            entry.rows += 1;
            entry.outcome = row.get(1);
            entry.handling = row.get(2);
            entry.forwarded = row.get(3);
            entry.rule = row.get(4);
            entry.team = row.get(5);
            entry.environment = row.get(6);
        }
        audit
    }

    /// What the audit kept of an event.
    pub(crate) async fn raw_message(&self, id: &str) -> String {
        let query = sqlx::query_scalar("select raw_message from event_audit_log where event_id = $1::uuid");
        query.bind(id).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until the audit has this many rows.
    pub(crate) async fn audited(&self, rows: usize) -> BTreeMap<String, Audited> {
        eventually("all events are audited", LIMIT, async || {
            let audit = self.audit().await;
            if audit.len() >= rows { Ok(audit) } else { Err(format!("{} of {rows} rows", audit.len())) }
        })
        .await
    }

    /// Entries of a list, oldest first.
    pub(crate) async fn list(&self, key: &str) -> Vec<Value> {
        let entries: Vec<String> = self.redis.connection().await.lrange(key, 0, -1).await.unwrap();
        entries.iter().rev().map(|entry| serde_json::from_str(entry).unwrap()).collect()
    }

    /// Waits until a list has this many entries.
    pub(crate) async fn listed(&self, key: &str, entries: usize) -> Vec<Value> {
        eventually(&format!("{key} has {entries} entries"), LIMIT, async || {
            let list = self.list(key).await;
            if list.len() >= entries { Ok(list) } else { Err(format!("{} of {entries}", list.len())) }
        })
        .await
    }

    /// Waits until nothing is queued, in hand or delayed, and the alerter's ledger balances. (That of the alert queue does
    /// not once a test has taken alerts from it by hand.)
    pub(crate) async fn settled(&self) {
        let pipeline = self.settings().queue.pipeline();
        eventually("everything is settled", LIMIT, async || {
            let ledger = ledger::read(&mut self.redis.connection().await, &pipeline).await.unwrap();
            let stage = ledger.stage("alerter").unwrap();
            if stage.waiting + stage.in_flight + stage.delayed == 0 && stage.imbalance == 0 {
                Ok(())
            } else {
                Err(format!("{stage:?}"))
            }
        })
        .await;
    }
}

/// What the audit says about one event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Audited {
    pub(crate) rows: usize,
    pub(crate) outcome: String,
    pub(crate) handling: String,
    pub(crate) forwarded: bool,
    pub(crate) rule: Option<i32>,
    pub(crate) team: Option<String>,
    pub(crate) environment: Option<String>,
}

/// A running alerter.
pub(crate) struct Running {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) metrics: String,
    pub(crate) health: String,
    http: reqwest::Client,
}

impl Running {
    /// Waits until it takes events.
    pub(crate) async fn ready(self) -> Self {
        eventually("the alerter is ready", LIMIT, async || {
            self.get(&self.health, "/health/ready").await.0 == 200
        })
        .await;
        self
    }

    /// Status and body.
    pub(crate) async fn get(&self, base: &str, path: &str) -> (u16, String) {
        match self.http.get(format!("{base}{path}")).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
            Err(error) => (0, error.to_string()),
        }
    }

    /// The value of one metric line, its fraction cut off.
    pub(crate) async fn metric(&self, name: &str) -> i64 {
        let page = self.get(&self.metrics, "/metrics").await.1;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("{name} is not in\n{page}"));
        line.split('.').next().unwrap().parse().unwrap()
    }

    /// Stops it in an orderly way.
    pub(crate) async fn stop(self) {
        self.lifecycle.drain("the test is done");
        assert_eq!(self.lifecycle.wait().await, Exit::Clean);
    }
}

fn no_secrets() -> Secrets {
    Secrets::fixed([])
}

/// An event as the ingestor queues it, and its id.
pub(crate) fn event(hostname: &str, message: &str) -> Entry {
    let now = SystemClock.now();
    let id = EventId::new(now);
    let header = EventHeader {
        id,
        received_at: now,
        correlation_id: Some("req-1"),
        source: EventSource::Syslog,
        peer: "192.0.2.7",
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        event_time: now,
        flags: &[],
    };
    let mut writer = EventWriter::new(&header, 256);
    writer.text("hostname", hostname).text("message", message);
    Entry { event_id: id, id: id.to_string(), writer }
}

/// An entry of the ingest queue in the making.
pub(crate) struct Entry {
    event_id: EventId,
    pub(crate) id: String,
    writer: EventWriter,
}

impl Entry {
    pub(crate) fn severity(mut self, severity: u8) -> Self {
        self.writer.number("syslog_severity", severity.into());
        self
    }

    pub(crate) fn oid(mut self, oid: &str) -> Self {
        self.writer.text("trap_oid", oid);
        self
    }

    fn into_item(self) -> Item {
        Item { id: self.event_id, payload: self.writer.finish().into(), idempotency_key: None }
    }
}
