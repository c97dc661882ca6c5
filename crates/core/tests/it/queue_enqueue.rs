//! The producer's end against a real Redis.

use std::time::Duration;

use chrono::DateTime;
use mutt_core::{
    domain::event::EventId,
    queue::{Enqueued, Enqueuer, Item, QueueError, ledger},
    redis::keys::Pipeline,
};
use mutt_test_support::{Link, Proxy, RedisServer, eventually};
use redis::{AsyncCommands, aio::ConnectionManager};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(10);

async fn manager(url: &str) -> ConnectionManager {
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_response_timeout(Some(Duration::from_millis(300)))
        .set_number_of_retries(1);
    let client = redis::Client::open(url).unwrap();
    client.get_connection_manager_with_config(config).await.unwrap()
}

fn now() -> DateTime<chrono::Utc> {
    DateTime::parse_from_rfc3339("2026-11-23T12:34:56Z").unwrap().to_utc()
}

fn item(n: u128, key: Option<&str>) -> Item {
    let id = Uuid::from_u128(n);
    let payload = format!(r#"{{"_id":"{id}","n":1}}"#).into();
    Item { id: EventId::from(id), payload, idempotency_key: key.map(str::to_owned) }
}

fn stored(depth: u64, repeats: &[(usize, u128)]) -> Enqueued {
    let repeats = repeats.iter().map(|&(at, id)| (at, EventId::from(Uuid::from_u128(id)))).collect();
    Enqueued::Stored { depth, repeats }
}

#[tokio::test]
async fn a_batch_is_stored_counted_and_bounded_by_the_cap() {
    let server = RedisServer::start().await;
    let pipeline = Pipeline::default();
    let mut enqueuer = Enqueuer::new(manager(&server.url()).await, pipeline.alerter.clone(), "mutt:metrics");
    let batch = [item(1, None), item(2, None)];
    assert_eq!(enqueuer.enqueue(&batch, 3, now(), PATIENCE).await.unwrap(), stored(2, &[]));
    assert_eq!(enqueuer.enqueue(&batch, 3, now(), PATIENCE).await.unwrap(), Enqueued::Full { depth: 2 });
    assert_eq!(enqueuer.enqueue(&[item(3, None)], 3, now(), PATIENCE).await.unwrap(), stored(3, &[]));
    let mut conn = server.connection().await;
    for counter in
        ["mutt:metrics:1m:2026-11-23T12:34", "mutt:metrics:1h:2026-11-23T12", "mutt:metrics:24h:2026-11-23"]
    {
        assert_eq!(conn.get::<_, u64>(counter).await.unwrap(), 3, "{counter}");
        assert!(conn.ttl::<_, i64>(counter).await.unwrap() > 7000);
    }
    let ledger = ledger::read(&mut conn, &pipeline).await.unwrap();
    assert_eq!((ledger.imbalance(), ledger.stages[0].count("in")), (0, 3));
    let oldest: String = conn.lindex("mutt:ingest_queue", -1).await.unwrap();
    assert!(oldest.contains(&Uuid::from_u128(1).to_string()), "first in, first out: {oldest}");
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_first_id_and_queues_nothing() {
    let server = RedisServer::start().await;
    let mut one = Enqueuer::new(manager(&server.url()).await, Pipeline::default().alerter, "m");
    let mut two = Enqueuer::new(manager(&server.url()).await, Pipeline::default().alerter, "m");
    let first = [item(1, Some("a")), item(2, Some("b")), item(3, Some("a")), item(4, None)];
    assert_eq!(one.enqueue(&first, 100, now(), PATIENCE).await.unwrap(), stored(3, &[(2, 1)]));
    let again = [item(11, Some("b")), item(12, Some("c"))];
    assert_eq!(two.enqueue(&again, 100, now(), PATIENCE).await.unwrap(), stored(4, &[(0, 2)]));
    // A repeat adds nothing, so a full queue cannot refuse it.
    assert_eq!(one.enqueue(&[item(21, Some("c"))], 4, now(), PATIENCE).await.unwrap(), stored(4, &[(0, 12)]));
    let ledger = ledger::read(&mut server.connection().await, &Pipeline::default()).await.unwrap();
    assert_eq!((ledger.imbalance(), ledger.stages[0].count("in")), (0, 4));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_stores_once() {
    let server = RedisServer::start().await;
    let proxy = Proxy::to_port(server.port()).await;
    let mut enqueuer = Enqueuer::new(
        manager(&format!("redis://127.0.0.1:{}/", proxy.port())).await,
        Pipeline::default().alerter,
        "m",
    );
    enqueuer.enqueue(&[item(1, None)], 100, now(), PATIENCE).await.unwrap();
    // Requests pass, answers do not: Redis applies what the sender never hears of.
    proxy.set(Link::AnswersLost);
    let items = [item(2, None), item(3, Some("k"))];
    let asking = enqueuer.enqueue(&items, 100, now(), PATIENCE);
    let healing = async {
        let mut conn = server.connection().await;
        eventually("the batch is applied", PATIENCE, async || {
            conn.llen::<_, u64>("mutt:ingest_queue").await.unwrap() == 3
        })
        .await;
        proxy.set(Link::Up);
        proxy.drop_connections();
    };
    let (answer, ()) = tokio::join!(asking, healing);
    assert_eq!(answer.unwrap(), stored(3, &[]));
    assert_eq!(enqueuer.enqueue(&[item(4, None)], 100, now(), PATIENCE).await.unwrap(), stored(4, &[]));
}

#[tokio::test]
async fn a_redis_that_stays_away_is_reported_and_the_stream_goes_on_later() {
    let mut server = RedisServer::start().await;
    let mut enqueuer = Enqueuer::new(manager(&server.url()).await, Pipeline::default().alerter, "m");
    server.kill();
    let error = enqueuer.enqueue(&[item(1, None)], 100, now(), Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, QueueError::Unanswered { .. }), "{error}");
    server.restart().await;
    assert_eq!(enqueuer.enqueue(&[item(2, None)], 100, now(), PATIENCE).await.unwrap(), stored(1, &[]));
}
