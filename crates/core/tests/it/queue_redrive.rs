//! Dead letters put back by themselves, on a real Redis.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mutt_core::{
    queue::{
        DeadLetter, Delivery, LaneSettings, ledger,
        redrive::{Redrive, RedriveSettings},
        run_lanes,
    },
    redis::keys::Pipeline,
};
use mutt_test_support::{RedisServer, eventually};
use redis::AsyncCommands;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(20);

async fn bury(server: &RedisServer, n: u32, reason: &str, own: &str) {
    let entry = format!(r#"{{"_id":"01920000-0000-7000-8000-{n:012}",{own}"n":{n}}}"#);
    let letter = DeadLetter::new(reason, "moog").wrap(&Delivery::new(entry.into_bytes(), 0));
    let () = redis::pipe()
        .atomic()
        .lpush("mutt:dlq:moog", letter)
        .hincr("mutt:ledger", "dlq_moog:in", 1)
        .query_async(&mut server.connection().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_can_heal_goes_back_and_the_rest_stays_for_people() {
    let server = RedisServer::start().await;
    bury(&server, 1, "attempts_spent", r#""_moog_retry_count":5,"#).await;
    bury(&server, 2, "rejected", "").await;
    bury(&server, 3, "attempts_spent", r#""_replays":3,"#).await;
    let healthy = Arc::new(AtomicBool::new(false));
    let settings = RedriveSettings { enabled: true, interval: Duration::from_millis(10), max_replays: 3 };
    let redrive = Redrive::new(settings, {
        let healthy = Arc::clone(&healthy);
        move || healthy.load(Ordering::SeqCst)
    });
    let counts = redrive.counts();
    let client = redis::Client::open(server.url()).unwrap();
    let manager = client.get_connection_manager().await.unwrap();
    let blocking = Arc::new(move || {
        let client = client.clone();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(4)));
        let connecting = async move { client.get_multiplexed_async_connection_with_config(&config).await };
        Box::pin(connecting) as futures_util::future::BoxFuture<'static, _>
    });
    let drain = CancellationToken::new();
    let keys = Pipeline::default().dlq_moog;
    let lanes = run_lanes(
        keys,
        Arc::new(redrive),
        manager,
        blocking,
        LaneSettings::new("pod", 1, 10),
        drain.clone(),
        CancellationToken::new(),
    );
    let mut conn = server.connection().await;
    let look = async {
        assert_eq!(
            conn.llen::<_, u64>("mutt:alert_queue").await.unwrap(),
            0,
            "the destination is not healthy"
        );
        healthy.store(true, Ordering::SeqCst);
        eventually("one is back, one is dead for good", LIMIT, async || {
            let back: Vec<String> = conn.lrange("mutt:alert_queue", 0, -1).await.unwrap();
            let dead: u64 = conn.llen("mutt:dlq:dead").await.unwrap();
            back == [r#"{"_id":"01920000-0000-7000-8000-000000000001","_replays":1,"n":1}"#] && dead == 1
        })
        .await;
        eventually("it has looked again", LIMIT, async || counts.loops.load(Ordering::Relaxed) > 2).await;
        drain.cancel();
    };
    tokio::join!(lanes, look);
    let mut conn = server.connection().await;
    let left: Vec<String> = conn.lrange("mutt:dlq:moog", 0, -1).await.unwrap();
    assert!(left.len() == 1 && left[0].contains("\"reason\":\"rejected\""), "{left:?}");
    assert_eq!((counts.replayed.load(Ordering::Relaxed), counts.poison.load(Ordering::Relaxed)), (1, 1));
    let ledger = ledger::read(&mut conn, &Pipeline::default()).await.unwrap();
    // The alert queue took in what was never counted as an alert in this test's set-up; the rest must balance.
    assert_eq!(ledger.imbalance(), 0, "{ledger:#?}");
}
