//! The shared sending limit on a real Redis.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mutt_core::redis::rate_limiter::{Permit, RateLimit, RateLimiter};
use mutt_test_support::RedisServer;
use redis::{AsyncCommands, aio::MultiplexedConnection};
use tokio::{task::JoinSet, time::Instant};

const KEY: &str = "mutt:rate_limit:moog";

fn limit(permits: u64, window_ms: u64) -> RateLimit {
    RateLimit { permits, window: Duration::from_millis(window_ms) }
}

async fn limiter(server: &RedisServer, limit: RateLimit) -> RateLimiter<MultiplexedConnection> {
    RateLimiter::new(server.connection().await, KEY, limit)
}

/// Most of `times` that lie in any half-open window of this length.
fn most_in_a_window(times: &mut [Instant], window: Duration) -> usize {
    times.sort();
    (0..times.len())
        .map(|i| times[i..].iter().take_while(|at| **at - times[i] < window).count())
        .max()
        .unwrap_or(0)
}

#[tokio::test]
async fn eight_clients_together_never_exceed_the_limit_in_any_window() {
    let server = RedisServer::start().await;
    let (limit, end) = (limit(50, 500), Instant::now() + Duration::from_millis(3_000));
    let sent = Arc::new(Mutex::new(Vec::new()));
    let mut clients = JoinSet::new();
    for _process in 0..8 {
        let limiter = Arc::new(limiter(&server, limit).await);
        for _lane in 0..4 {
            let (limiter, sent) = (Arc::clone(&limiter), Arc::clone(&sent));
            clients.spawn(async move {
                while Instant::now() < end {
                    match limiter.acquire().await.unwrap() {
                        Permit::Granted => sent.lock().unwrap().push(Instant::now()),
                        Permit::Full(wait) | Permit::Held(wait) => tokio::time::sleep(wait).await,
                    }
                }
            });
        }
    }
    clients.join_all().await;
    let mut sent = sent.lock().unwrap();
    let most = most_in_a_window(&mut sent, limit.window);
    assert!(most <= 50, "{most} in one window");
    // 3 s hold 6 windows; margin and use-by take a tenth at most, and the last window may be cut short.
    assert!(sent.len() >= 4 * 50, "only {} of the limit was used", sent.len());
}

#[tokio::test]
async fn callers_that_come_together_share_one_call() {
    let server = RedisServer::start().await;
    let limiter = Arc::new(limiter(&server, limit(1_000, 60_000)).await);
    let mut group = JoinSet::new();
    for _caller in 0..100 {
        let limiter = Arc::clone(&limiter);
        group.spawn(async move { limiter.acquire().await.unwrap() });
    }
    assert!(group.join_all().await.into_iter().all(|permit| permit == Permit::Granted));
    let calls = script_calls(&server).await;
    assert!(calls <= 10, "{calls} calls");
}

/// How many scripts Redis has run, those that it had to be sent first included.
async fn script_calls(server: &RedisServer) -> u64 {
    let stats: String =
        redis::cmd("INFO").arg("commandstats").query_async(&mut server.connection().await).await.unwrap();
    let of = |command: &str| -> u64 {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
    };
    of("eval") + of("evalsha")
}

#[tokio::test]
async fn a_full_window_says_exactly_when_the_next_permit_is_there() {
    let server = RedisServer::start().await;
    let limiter = limiter(&server, limit(3, 400)).await;
    for _permit in 0..3 {
        assert_eq!(limiter.acquire().await.unwrap(), Permit::Granted);
    }
    let Permit::Full(wait) = limiter.acquire().await.unwrap() else { panic!("a fourth permit") };
    assert!(wait > Duration::from_millis(300) && wait <= Duration::from_millis(440), "{wait:?}");
    tokio::time::sleep(wait + Duration::from_millis(1)).await;
    assert_eq!(limiter.acquire().await.unwrap(), Permit::Granted);
}

#[tokio::test]
async fn a_lowered_limit_counts_what_was_sent_before() {
    let server = RedisServer::start().await;
    let limiter = limiter(&server, limit(10, 60_000)).await;
    for _permit in 0..10 {
        assert_eq!(limiter.acquire().await.unwrap(), Permit::Granted);
    }
    limiter.set_limit(limit(2, 60_000));
    assert!(matches!(limiter.acquire().await.unwrap(), Permit::Full(_)));
}

#[tokio::test]
async fn a_hold_stops_every_process_and_a_shorter_one_does_not_end_it() {
    let server = RedisServer::start().await;
    let (one, other) = (limiter(&server, limit(0, 1_000)).await, limiter(&server, limit(50, 1_000)).await);
    assert_eq!(one.acquire().await.unwrap(), Permit::Granted);
    one.hold(Duration::from_mins(1)).await.unwrap();
    other.hold(Duration::from_secs(1)).await.unwrap();
    for limiter in [&one, &limiter(&server, limit(50, 1_000)).await] {
        let Permit::Held(wait) = limiter.acquire().await.unwrap() else { panic!("not held") };
        assert!(wait > Duration::from_secs(50), "{wait:?}");
    }
    let left: i64 = server.connection().await.pttl(format!("{KEY}:hold")).await.unwrap();
    assert!(left > 50_000);
}

#[tokio::test]
async fn no_limit_costs_next_to_nothing() {
    let server = RedisServer::start().await;
    let limiter = limiter(&server, limit(0, 1_000)).await;
    let started = Instant::now();
    for _permit in 0..5_000 {
        assert_eq!(limiter.acquire().await.unwrap(), Permit::Granted);
    }
    // One call per 1,000 permits or per life of a permit, which is 50 ms.
    let expected = 7 + u64::try_from(started.elapsed().as_millis() / 50).unwrap();
    let calls = script_calls(&server).await;
    assert!(calls <= expected, "{calls} calls");
    let members: usize = server.connection().await.zcard(KEY).await.unwrap();
    assert_eq!(members, 0);
}

#[tokio::test]
async fn nothing_is_granted_while_redis_does_not_answer() {
    let mut server = RedisServer::start().await;
    let limiter = limiter(&server, limit(50, 1_000)).await;
    server.kill();
    assert!(limiter.acquire().await.is_err());
}

#[tokio::test]
async fn a_clock_set_back_on_the_server_does_not_stop_delivery() {
    let server = RedisServer::start().await;
    let mut conn = server.connection().await;
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut conn).await.unwrap();
    let tomorrow = (seconds + 86_400) * 1_000_000 + micros;
    let _: usize = conn.zadd_multiple(KEY, &[(tomorrow, "a"), (tomorrow, "b")]).await.unwrap();
    let limiter = limiter(&server, limit(2, 1_000)).await;
    assert_eq!(limiter.acquire().await.unwrap(), Permit::Granted);
}
