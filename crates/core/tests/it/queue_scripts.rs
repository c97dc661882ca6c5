//! Every script of the delivery protocol, for every answer it can give, on a real Redis.

use std::time::Duration;

use mutt_core::{
    queue::{DeadLetter, Delivery, Settlement, ledger},
    redis::{
        keys::{Pipeline, StageKeys},
        scripts::{self, ClaimLimits, Claimed, Completed, ReapPolicy},
    },
};
use mutt_test_support::RedisServer;
use redis::{AsyncCommands, aio::MultiplexedConnection};

const LEASE_MS: u64 = 60_000;
const LIMITS: ClaimLimits =
    ClaimLimits { max: 10, max_bytes: 1 << 20, lease_ms: LEASE_MS, promote: 10, downstream_cap: 0 };
const POLICY: ReapPolicy = ReapPolicy { max_reclaims: 4, backoff_ms: 1 };

struct Bench {
    _server: RedisServer,
    conn: MultiplexedConnection,
    pipeline: Pipeline,
}

impl Bench {
    async fn new() -> Self {
        let server = RedisServer::start().await;
        let conn = server.connection().await;
        Self { _server: server, conn, pipeline: Pipeline::default() }
    }

    fn keys(&self) -> StageKeys {
        self.pipeline.alerter.clone()
    }

    async fn push(&mut self, entries: impl IntoIterator<Item = String>) {
        for entry in entries {
            let () = self.conn.lpush(&self.keys().queue, entry).await.unwrap();
            let () = self.conn.hincr("mutt:ledger", "alerter:in", 1).await.unwrap();
        }
    }

    async fn register(&mut self, wid: &str) {
        scripts::register(&mut self.conn, &self.pipeline.alerter, wid, LEASE_MS).await.unwrap();
    }

    async fn claim(&mut self, wid: &str, seq: u64) -> Claimed {
        scripts::claim(&mut self.conn, &self.pipeline.alerter, wid, seq, &LIMITS).await.unwrap()
    }

    async fn complete(&mut self, wid: &str, seq: u64, settlement: &Settlement) -> Completed {
        scripts::complete(&mut self.conn, &self.pipeline.alerter, wid, seq, 60_000, settlement).await.unwrap()
    }

    async fn expire(&mut self, wid: &str) {
        let () = self.conn.zadd(&self.keys().lease, wid, 1).await.unwrap();
    }

    async fn reap(&mut self, wid: &str) -> Option<usize> {
        scripts::reap(&mut self.conn, &self.pipeline.alerter, wid, POLICY, false).await.unwrap()
    }

    async fn len(&mut self, list: &str) -> u64 {
        self.conn.llen(list).await.unwrap()
    }

    async fn assert_balanced(&mut self) {
        let ledger = ledger::read(&mut self.conn, &self.pipeline).await.unwrap();
        assert_eq!(ledger.imbalance(), 0, "{ledger:#?}");
    }
}

fn entry(n: u32) -> String {
    format!(r#"{{"_id":"01920000-0000-7000-8000-{n:012}","n":{n}}}"#)
}

fn ids(claimed: &Claimed) -> Vec<String> {
    let Claimed::Batch(entries) = claimed else { panic!("not a batch: {claimed:?}") };
    entries.iter().map(|(raw, _)| Delivery::new(raw.clone(), 0).id().split_at(30).1.to_owned()).collect()
}

fn delivery(n: u32) -> Delivery {
    Delivery::new(entry(n).into_bytes(), 0)
}

#[tokio::test]
async fn a_claim_takes_the_oldest_first_and_answers_the_same_when_asked_again() {
    let mut bench = Bench::new().await;
    bench.register("a").await;
    assert_eq!(bench.claim("a", 1).await, Claimed::Empty { next_due_ms: None });
    bench.push((1..=3).map(entry)).await;
    let first = bench.claim("a", 1).await;
    assert_eq!(ids(&first), ["000001", "000002", "000003"]);
    bench.push([entry(4)]).await;
    assert_eq!(ids(&bench.claim("a", 1).await), ids(&first));
    assert_eq!(bench.claim("a", 2).await, Claimed::OutOfStep, "a batch is still held");
    bench.assert_balanced().await;
    assert_eq!(bench.complete("a", 1, &Settlement::new()).await, Completed::Applied);
    assert_eq!(
        bench.complete("a", 1, &Settlement::new()).await,
        Completed::Applied,
        "a lost answer, asked again"
    );
    assert_eq!(ids(&bench.claim("a", 2).await), ["000004"]);
    assert_eq!(
        bench.complete("a", 1, &Settlement::new()).await,
        Completed::Stale,
        "a late copy changes nothing"
    );
    assert_eq!(bench.claim("a", 1).await, Claimed::OutOfStep, "a late copy takes nothing");
    bench.assert_balanced().await;
}

#[tokio::test]
async fn nobody_claims_without_a_lease() {
    let mut bench = Bench::new().await;
    bench.push([entry(1)]).await;
    assert_eq!(bench.claim("unknown", 1).await, Claimed::Lost);
    bench.register("a").await;
    bench.expire("a").await;
    assert_eq!(bench.reap("a").await, Some(0));
    assert_eq!(bench.claim("a", 1).await, Claimed::Fenced);
    assert_eq!(bench.len("mutt:ingest_queue").await, 1);
}

#[tokio::test]
async fn a_full_downstream_blocks_claims() {
    let mut bench = Bench::new().await;
    bench.register("a").await;
    bench.push([entry(1)]).await;
    let () = bench.conn.lpush("mutt:alert_queue", "{}").await.unwrap();
    let limits = ClaimLimits { downstream_cap: 1, ..LIMITS };
    let keys = bench.keys();
    assert_eq!(scripts::claim(&mut bench.conn, &keys, "a", 1, &limits).await.unwrap(), Claimed::Blocked);
    assert_eq!(bench.len("mutt:ingest_queue").await, 1);
}

#[tokio::test]
async fn entries_of_other_producers_get_an_id_that_stays() {
    let mut bench = Bench::new().await;
    bench.register("a").await;
    for text in [r#"{"hostname":"h"}"#, r#"{ "_id" : "mine" }"#, "{}", "plain", "{broken}", "\"x\""] {
        let () = bench.conn.lpush("mutt:ingest_queue", text).await.unwrap();
    }
    let Claimed::Batch(entries) = bench.claim("a", 1).await else { panic!("a batch was expected") };
    assert_eq!(entries.len(), 6);
    for (raw, _) in &entries {
        let value: serde_json::Value = serde_json::from_slice(raw).unwrap();
        let id = value["_id"].as_str().unwrap_or_default();
        assert!(id == "mine" || uuid::Uuid::try_parse(id).unwrap().get_version_num() == 7, "{value}");
    }
    let again = bench.claim("a", 1).await;
    assert_eq!(again, Claimed::Batch(entries), "a redelivery keeps the stamped id");
    bench.assert_balanced().await;
    assert_eq!(bench.complete("a", 1, &Settlement::new()).await, Completed::Applied);
    bench.assert_balanced().await;
}

#[tokio::test]
async fn one_completion_applies_every_outcome() {
    let mut bench = Bench::new().await;
    bench.register("a").await;
    bench.push((1..=5).map(entry)).await;
    bench.claim("a", 1).await;
    let mut settlement = Settlement::new();
    settlement.push("alert-1", br#"{"_id":"alert-1"}"#.to_vec());
    settlement.push("alert-1", br#"{"_id":"alert-1"}"#.to_vec());
    settlement.retry(&delivery(2), Duration::from_secs(60), entry(2).into_bytes());
    settlement.dead_letter(&delivery(3), &DeadLetter::new("data_error", "alerter"));
    settlement.unhandled(1);
    assert_eq!(bench.complete("a", 1, &settlement).await, Completed::Applied);
    assert_eq!(bench.len("mutt:alert_queue").await, 1, "an alert id is pushed once");
    assert_eq!(bench.len("mutt:dlq:alerter").await, 1);
    assert_eq!(bench.conn.zcard::<_, u64>("mutt:delayed:alerter").await.unwrap(), 1);
    let ledger = ledger::read(&mut bench.conn, &bench.pipeline).await.unwrap();
    let alerter = ledger.stage("alerter").unwrap();
    assert_eq!((alerter.count("handled"), alerter.count("unhandled"), alerter.count("dead")), (2, 1, 1));
    assert_eq!(alerter.delayed, 1);
    assert_eq!(ledger.imbalance(), 0, "{ledger:#?}");
    assert!(matches!(bench.claim("a", 2).await, Claimed::Empty { next_due_ms: Some(due) } if due > 50_000));
}

#[tokio::test]
async fn a_delayed_entry_comes_back_when_it_is_due_before_newer_ones() {
    let mut bench = Bench::new().await;
    bench.register("a").await;
    bench.push([entry(1)]).await;
    bench.claim("a", 1).await;
    let mut settlement = Settlement::new();
    settlement.retry(&delivery(1), Duration::ZERO, entry(1).into_bytes());
    bench.complete("a", 1, &settlement).await;
    bench.push([entry(2)]).await;
    assert_eq!(ids(&bench.claim("a", 2).await), ["000001", "000002"]);
    bench.assert_balanced().await;
}

#[tokio::test]
async fn a_shape_alerts_once_at_or_past_its_threshold_with_its_count() {
    let mut bench = Bench::new().await;
    bench.register("a").await;
    let keys = || ["mutt:unhandled:h:1".to_owned(), "mutt:unhandled:h:1:triggered".to_owned()];
    let mut seq = 0;
    for add in [3, 4, 5] {
        bench.push([entry(add)]).await;
        seq += 1;
        bench.claim("a", seq).await;
        let mut settlement = Settlement::new();
        let alert = br#"{"_id":"meta"}"#.to_vec();
        settlement.unhandled(1).count_unhandled(
            keys(),
            6,
            Duration::from_secs(60),
            u64::from(add),
            "meta",
            alert,
        );
        bench.complete("a", seq, &settlement).await;
    }
    let alerts: Vec<String> = bench.conn.lrange("mutt:alert_queue", 0, -1).await.unwrap();
    assert_eq!(alerts, [r#"{"_id":"meta","unhandled_count":7}"#]);
    assert!(!bench.conn.exists::<_, bool>("mutt:unhandled:h:1").await.unwrap());
    bench.assert_balanced().await;
}

#[tokio::test]
async fn a_reaped_lane_can_change_nothing_more() {
    let mut bench = Bench::new().await;
    bench.register("a").await;
    bench.register("b").await;
    bench.push((1..=3).map(entry)).await;
    bench.claim("a", 1).await;
    assert_eq!(bench.reap("a").await, None, "its lease still runs");
    bench.expire("a").await;
    assert_eq!(bench.reap("a").await, Some(3));
    bench.assert_balanced().await;
    let mut late = Settlement::new();
    late.push("alert-1", br#"{"_id":"alert-1"}"#.to_vec());
    assert_eq!(bench.complete("a", 1, &late).await, Completed::Fenced);
    assert_eq!(bench.len("mutt:alert_queue").await, 0);
    let keys = bench.keys();
    assert_eq!(scripts::release(&mut bench.conn, &keys, "a", 1, false).await.unwrap(), None);
    assert_eq!(
        scripts::beat(&mut bench.conn, &keys, &["a".into(), "b".into()], LEASE_MS).await.unwrap(),
        ["a"]
    );
    // What died once travels alone.
    assert_eq!(ids(&bench.claim("b", 1).await), ["000001"]);
    bench.complete("b", 1, &Settlement::new()).await;
    assert_eq!(ids(&bench.claim("b", 2).await), ["000002"]);
    bench.assert_balanced().await;
}

#[tokio::test]
async fn an_entry_that_kills_each_process_ends_in_the_dead_letters() {
    let mut bench = Bench::new().await;
    bench.push([entry(1)]).await;
    for life in 1..=4 {
        let wid = format!("w{life}");
        bench.register(&wid).await;
        // A second death is followed by a short wait.
        loop {
            match bench.claim(&wid, 1).await {
                Claimed::Batch(_) => break,
                Claimed::Empty { .. } => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
        bench.expire(&wid).await;
        assert_eq!(bench.reap(&wid).await, Some(1));
        bench.assert_balanced().await;
    }
    let dead: Vec<String> = bench.conn.lrange("mutt:dlq:alerter", 0, -1).await.unwrap();
    let (why, before) = DeadLetter::unwrap_entry(&dead[0]).unwrap();
    assert_eq!((why.reason.as_str(), why.attempts, before), ("crash_loop", 4, entry(1)));
}

#[tokio::test]
async fn a_released_batch_keeps_its_order_and_its_number_is_used_up() {
    let mut bench = Bench::new().await;
    let keys = bench.keys();
    bench.register("a").await;
    bench.push((1..=3).map(entry)).await;
    bench.claim("a", 1).await;
    assert_eq!(scripts::release(&mut bench.conn, &keys, "a", 1, false).await.unwrap(), Some(3));
    assert_eq!(bench.claim("a", 1).await, Claimed::Batch(vec![]), "a late copy of the claim takes nothing");
    assert_eq!(ids(&bench.claim("a", 2).await), ["000001", "000002", "000003"]);
    assert_eq!(scripts::release(&mut bench.conn, &keys, "a", 1, false).await.unwrap(), None, "a late copy");
    assert_eq!(scripts::release(&mut bench.conn, &keys, "a", 2, true).await.unwrap(), Some(3));
    assert_eq!(bench.claim("a", 3).await, Claimed::Lost, "it has signed off");
    bench.assert_balanced().await;
}

#[tokio::test]
async fn what_redis_forgot_is_put_back_and_counted() {
    let mut bench = Bench::new().await;
    let keys = bench.keys();
    let entries = [entry(1), entry(2)];
    let bytes: Vec<&[u8]> = entries.iter().map(String::as_bytes).collect();
    assert_eq!(scripts::reinject(&mut bench.conn, &keys, &bytes).await.unwrap(), 2);
    bench.register("a").await;
    assert_eq!(ids(&bench.claim("a", 1).await), ["000001", "000002"]);
    bench.assert_balanced().await;
}

#[tokio::test]
async fn consumers_drain_a_redis_that_is_full() {
    let server = RedisServer::builder().max_memory_bytes(4 << 20).start().await.unwrap();
    let mut bench = Bench { conn: server.connection().await, _server: server, pipeline: Pipeline::default() };
    let big = "x".repeat(10_000);
    let mut stored = 0_u32;
    loop {
        let entry = entry(stored).replace('}', &format!(",\"m\":\"{big}\"}}"));
        let pushed: redis::RedisResult<()> = bench.conn.lpush("mutt:ingest_queue", entry).await;
        match pushed {
            Ok(()) => stored += 1,
            Err(error) => break assert!(scripts::is_out_of_memory(&error), "{error}"),
        }
        assert!(stored < 10_000, "4 MiB hold no 100 MB");
    }
    bench.register("a").await;
    let mut seq = 0;
    let mut drained = 0;
    loop {
        seq += 1;
        match bench.claim("a", seq).await {
            Claimed::Batch(entries) => drained += entries.len(),
            Claimed::Empty { .. } => break,
            other => panic!("{other:?}"),
        }
        assert_eq!(bench.complete("a", seq, &Settlement::new()).await, Completed::Applied);
    }
    assert_eq!(drained, usize::try_from(stored).unwrap());
}
