//! Whole lanes with a scripted worker against a real Redis: nothing lost, nothing done twice that was settled.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use mutt_core::{
    queue::{Batch, Gate, LaneSettings, LeaseView, Settlement, Worked, Worker, ledger, run_lanes},
    redis::keys::Pipeline,
};
use mutt_test_support::{Link, Proxy, RedisServer, eventually};
use redis::{AsyncCommands, aio::ConnectionManager};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(20);

/// Counts how often each entry was worked on; holds work back until the semaphore lets it go.
#[derive(Default)]
struct Counting {
    seen: Mutex<HashMap<String, usize>>,
    hold: Option<Semaphore>,
    closed: std::sync::atomic::AtomicBool,
    panic_on: Option<String>,
}

impl Counting {
    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn most(&self) -> usize {
        self.seen.lock().unwrap().values().copied().max().unwrap_or(0)
    }
}

impl Worker for Counting {
    async fn gate(&self) -> Gate {
        if self.closed.load(std::sync::atomic::Ordering::SeqCst) {
            Gate::Wait(Duration::from_millis(10))
        } else {
            Gate::Open
        }
    }

    async fn work(&self, batch: &Batch, lease: &LeaseView) -> Worked {
        for delivery in &batch.deliveries {
            let times = {
                let mut seen = self.seen.lock().unwrap();
                let times = seen.entry(delivery.id().to_owned()).or_default();
                *times += 1;
                *times
            };
            assert!(
                times > 1 || self.panic_on.as_deref() != Some(delivery.id()),
                "scripted to panic on its first delivery"
            );
        }
        if let Some(hold) = &self.hold {
            hold.acquire().await.unwrap().forget();
        }
        // A frozen worker would not know either; the scripts must hold without it.
        let _asked = lease.still_ours().await;
        let mut settlement = Settlement::new();
        for delivery in &batch.deliveries {
            settlement.push(delivery.id(), delivery.bytes().to_vec());
        }
        Worked::Settle(settlement)
    }
}

struct Stage {
    drain: CancellationToken,
    abort: CancellationToken,
    task: JoinHandle<()>,
}

impl Stage {
    async fn stop(self) {
        self.drain.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("lanes stop when asked").unwrap();
    }
}

async fn manager(url: &str) -> ConnectionManager {
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_response_timeout(Some(Duration::from_millis(500)))
        .set_number_of_retries(1);
    redis::Client::open(url).unwrap().get_connection_manager_with_config(config).await.unwrap()
}

async fn start(url: &str, pod: &str, worker: Arc<Counting>, adjust: impl FnOnce(&mut LaneSettings)) -> Stage {
    let mut settings = LaneSettings::new(pod, 3, 7);
    adjust(&mut settings);
    let (drain, abort) = (CancellationToken::new(), CancellationToken::new());
    let client = redis::Client::open(url).unwrap();
    let blocking = Arc::new(move || {
        let client = client.clone();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(4)));
        let connecting = async move { client.get_multiplexed_async_connection_with_config(&config).await };
        Box::pin(connecting) as futures_util::future::BoxFuture<'static, _>
    });
    let lanes = run_lanes(
        Pipeline::default().alerter,
        worker,
        manager(url).await,
        blocking,
        settings,
        drain.clone(),
        abort.clone(),
    );
    #[expect(clippy::disallowed_methods, reason = "the test supervises it")]
    let task = tokio::spawn(lanes);
    Stage { drain, abort, task }
}

async fn push(server: &RedisServer, numbers: std::ops::Range<u32>) {
    let mut conn = server.connection().await;
    for n in numbers {
        let entry = format!(r#"{{"_id":"01920000-0000-7000-8000-{n:012}","n":{n}}}"#);
        let () = redis::pipe()
            .atomic()
            .lpush("mutt:ingest_queue", entry)
            .hincr("mutt:ledger", "alerter:in", 1)
            .query_async(&mut conn)
            .await
            .unwrap();
    }
}

async fn pushed_alerts(server: &RedisServer) -> u64 {
    server.connection().await.llen("mutt:alert_queue").await.unwrap()
}

async fn assert_balanced(server: &RedisServer) {
    let ledger = ledger::read(&mut server.connection().await, &Pipeline::default()).await.unwrap();
    assert_eq!(ledger.imbalance(), 0, "{ledger:#?}");
}

async fn all_settled(server: &RedisServer, total: u64) {
    eventually("every entry is settled", LIMIT, async || {
        let ledger = ledger::read(&mut server.connection().await, &Pipeline::default()).await.unwrap();
        let alerter = ledger.stage("alerter").unwrap().clone();
        (alerter.count("handled") == i64::try_from(total).unwrap() && alerter.in_flight == 0)
            .then_some(())
            .ok_or(format!("{alerter:?}"))
    })
    .await;
}

#[tokio::test]
async fn everything_is_worked_on_once_and_the_ledger_balances_all_the_time() {
    let server = RedisServer::start().await;
    push(&server, 0..500).await;
    let worker = Arc::new(Counting::default());
    let stage = start(&server.url(), "pod", Arc::clone(&worker), |_| {}).await;
    push(&server, 500..1000).await;
    assert_balanced(&server).await;
    all_settled(&server, 1000).await;
    assert_eq!((worker.seen(), worker.most(), pushed_alerts(&server).await), (1000, 1, 1000));
    stage.stop().await;
    assert_balanced(&server).await;
    let leases: u64 = server.connection().await.zcard("mutt:lease:alerter").await.unwrap();
    assert_eq!(leases, 0, "lanes sign off");
}

#[tokio::test]
async fn an_idle_lane_is_woken_by_a_push() {
    let server = RedisServer::start().await;
    let worker = Arc::new(Counting::default());
    let stage = start(&server.url(), "pod", Arc::clone(&worker), |_| {}).await;
    let mut conn = server.connection().await;
    eventually("the bell listens", LIMIT, async || {
        let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut conn).await.unwrap();
        clients.contains("cmd=blmove")
    })
    .await;
    let started = tokio::time::Instant::now();
    push(&server, 0..1).await;
    all_settled(&server, 1).await;
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "polling would take up to 2 s: {:?}",
        started.elapsed()
    );
    stage.stop().await;
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_hand_and_a_hurry_gives_it_back() {
    let server = RedisServer::start().await;
    push(&server, 0..50).await;
    let worker = Arc::new(Counting { hold: Some(Semaphore::new(0)), ..Counting::default() });
    let stage = start(&server.url(), "pod", Arc::clone(&worker), |_| {}).await;
    eventually("three lanes hold a batch", LIMIT, async || worker.seen() == 21).await;
    stage.drain.cancel();
    worker.hold.as_ref().unwrap().add_permits(1);
    eventually("one batch is finished", LIMIT, async || pushed_alerts(&server).await == 7).await;
    stage.abort.cancel();
    stage.stop().await;
    let waiting: u64 = server.connection().await.llen("mutt:ingest_queue").await.unwrap();
    assert_eq!(waiting, 43, "two batches went back");
    assert_balanced(&server).await;
    let oldest: String = server.connection().await.lindex("mutt:ingest_queue", -1).await.unwrap();
    assert!(
        oldest.contains("\"n\":7}") || oldest.contains("\"n\":0}") || oldest.contains("\"n\":14}"),
        "{oldest}"
    );
}

#[tokio::test]
async fn a_restarted_pod_takes_over_from_its_earlier_life_at_once() {
    let server = RedisServer::start().await;
    push(&server, 0..5).await;
    let stuck = Arc::new(Counting { hold: Some(Semaphore::new(0)), ..Counting::default() });
    let dead = start(&server.url(), "pod", Arc::clone(&stuck), |_| {}).await;
    eventually("it holds a batch", LIMIT, async || stuck.seen() == 5).await;
    // As SIGKILL does: nothing is given back, the lease still runs.
    dead.task.abort();
    let worker = Arc::new(Counting::default());
    let started = tokio::time::Instant::now();
    let alive = start(&server.url(), "pod", Arc::clone(&worker), |_| {}).await;
    all_settled(&server, 5).await;
    assert!(started.elapsed() < Duration::from_secs(10), "its lease would run for 30 s");
    assert_eq!(pushed_alerts(&server).await, 5);
    alive.stop().await;
    assert_balanced(&server).await;
}

#[tokio::test]
async fn the_batch_of_a_dead_pod_returns_when_its_lease_is_over() {
    let server = RedisServer::start().await;
    push(&server, 0..5).await;
    let stuck = Arc::new(Counting { hold: Some(Semaphore::new(0)), ..Counting::default() });
    let short = |settings: &mut LaneSettings| {
        settings.lease = Duration::from_secs(2);
        settings.janitor.tick = Duration::from_millis(200);
    };
    let dead = start(&server.url(), "one", Arc::clone(&stuck), short).await;
    eventually("it holds a batch", LIMIT, async || stuck.seen() == 5).await;
    dead.task.abort();
    let worker = Arc::new(Counting::default());
    let alive = start(&server.url(), "two", Arc::clone(&worker), short).await;
    all_settled(&server, 5).await;
    assert_eq!((worker.most(), pushed_alerts(&server).await), (1, 5));
    alive.stop().await;
    assert_balanced(&server).await;
}

#[tokio::test]
async fn a_frozen_lane_that_wakes_up_late_settles_nothing() {
    let server = RedisServer::start().await;
    push(&server, 0..5).await;
    let proxy = Proxy::to_port(server.port()).await;
    let url = format!("redis://127.0.0.1:{}/", proxy.port());
    let short = |settings: &mut LaneSettings| {
        settings.lease = Duration::from_secs(2);
        settings.janitor.tick = Duration::from_millis(200);
    };
    let slow = Arc::new(Counting { hold: Some(Semaphore::new(0)), ..Counting::default() });
    let frozen = start(&url, "one", Arc::clone(&slow), short).await;
    eventually("it holds a batch", LIMIT, async || slow.seen() == 5).await;
    slow.closed.store(true, std::sync::atomic::Ordering::SeqCst);
    proxy.set(Link::Frozen);
    let worker = Arc::new(Counting::default());
    let alive = start(&server.url(), "two", Arc::clone(&worker), short).await;
    all_settled(&server, 5).await;
    proxy.set(Link::Up);
    slow.hold.as_ref().unwrap().add_permits(10);
    eventually("the lane that worked has registered anew", LIMIT, async || {
        let lanes: u64 = server.connection().await.zcard("mutt:lease:alerter").await.unwrap();
        lanes == 4
    })
    .await;
    assert_eq!(pushed_alerts(&server).await, 5);
    frozen.abort.cancel();
    frozen.stop().await;
    alive.stop().await;
    assert_balanced(&server).await;
}

#[tokio::test]
async fn a_restart_of_redis_under_load_loses_and_doubles_nothing() {
    let mut server = RedisServer::start().await;
    push(&server, 0..300).await;
    let worker = Arc::new(Counting { hold: Some(Semaphore::new(5)), ..Counting::default() });
    let stage = start(&server.url(), "pod", Arc::clone(&worker), |_| {}).await;
    eventually("work is under way", LIMIT, async || worker.seen() > 35).await;
    server.kill();
    worker.hold.as_ref().unwrap().add_permits(1000);
    server.restart().await;
    all_settled(&server, 300).await;
    assert_eq!((worker.seen(), pushed_alerts(&server).await), (300, 300));
    stage.stop().await;
    assert_balanced(&server).await;
}

#[tokio::test]
async fn a_panicking_worker_costs_its_lane_and_nothing_else() {
    let server = RedisServer::start().await;
    push(&server, 0..30).await;
    let poison = "01920000-0000-7000-8000-000000000003".to_owned();
    let worker = Arc::new(Counting { panic_on: Some(poison), ..Counting::default() });
    let short = |settings: &mut LaneSettings| {
        settings.lease = Duration::from_secs(2);
        settings.janitor.tick = Duration::from_millis(200);
    };
    let stage = start(&server.url(), "pod", Arc::clone(&worker), short).await;
    all_settled(&server, 30).await;
    assert_eq!(pushed_alerts(&server).await, 30);
    stage.stop().await;
    assert_balanced(&server).await;
}
