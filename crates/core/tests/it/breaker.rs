//! The shared circuit breaker on a real Redis.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mutt_core::redis::breaker::{Admission, Breaker, BreakerSettings, Failure, Look, Pass, State};
use mutt_test_support::{RedisServer, eventually};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use tokio::task::JoinSet;

const PREFIX: &str = "mutt:circuit_breaker:moogsoft";
const SETTINGS: BreakerSettings = BreakerSettings {
    threshold: 3,
    open_min: Duration::from_millis(300),
    open_max: Duration::from_millis(3_000),
    probe_slot: Duration::from_millis(400),
};
const LIMIT: Duration = Duration::from_secs(10);

type Changes = Arc<Mutex<Vec<(State, State)>>>;

/// One process's view of the breaker, with the changes it made.
async fn breaker(server: &RedisServer) -> (Breaker<MultiplexedConnection>, Changes) {
    let changes = Changes::default();
    let seen = Arc::clone(&changes);
    let on_change = Box::new(move |from, to| seen.lock().unwrap().push((from, to)));
    (Breaker::new(server.connection().await, PREFIX, SETTINGS, on_change), changes)
}

async fn pass(breaker: &Breaker<MultiplexedConnection>) -> Pass {
    match breaker.admit().await.unwrap() {
        Admission::Go(pass) => pass,
        Admission::Wait(wait) => panic!("refused for {wait:?}"),
    }
}

async fn probe(breaker: &Breaker<MultiplexedConnection>) -> Pass {
    eventually("a probe", LIMIT, async || match breaker.admit().await.unwrap() {
        Admission::Go(pass) => pass.is_probe().then_some(pass),
        Admission::Wait(_) => None,
    })
    .await
}

async fn open(breaker: &Breaker<MultiplexedConnection>) {
    let pass = pass(breaker).await;
    assert_eq!(breaker.failed(&pass).await.unwrap(), Failure::StillClosed);
    assert_eq!(breaker.failed(&pass).await.unwrap(), Failure::StillClosed);
    assert_eq!(breaker.failed(&pass).await.unwrap(), Failure::Outage);
}

#[tokio::test]
async fn it_opens_at_the_threshold_and_every_process_sees_it() {
    let server = RedisServer::start().await;
    let ((one, changes), (other, _)) = (breaker(&server).await, breaker(&server).await);
    open(&one).await;
    assert!(matches!(one.admit().await.unwrap(), Admission::Wait(_)));
    let Look::Wait(wait) = other.look().await.unwrap() else { panic!("not open") };
    assert!(wait <= SETTINGS.open_min);
    assert_eq!(*changes.lock().unwrap(), [(State::Closed, State::Open)]);
    let state: String = server.connection().await.get(format!("{PREFIX}:state")).await.unwrap();
    assert_eq!(state, "OPEN");
}

#[tokio::test]
async fn a_success_between_failures_starts_the_count_again() {
    let server = RedisServer::start().await;
    let (breaker, _) = breaker(&server).await;
    let pass = pass(&breaker).await;
    for _round in 0..5 {
        assert_eq!(breaker.failed(&pass).await.unwrap(), Failure::StillClosed);
        assert_eq!(breaker.failed(&pass).await.unwrap(), Failure::StillClosed);
        breaker.succeeded(&pass).await.unwrap();
    }
    assert_eq!(breaker.read().await.unwrap().0, State::Closed);
}

#[tokio::test]
async fn exactly_one_of_twenty_callers_probes() {
    let server = RedisServer::start().await;
    let (first, _) = breaker(&server).await;
    open(&first).await;
    eventually("time is up", LIMIT, async || first.look().await.unwrap() == Look::ProbeFree).await;
    let mut callers = JoinSet::new();
    for _caller in 0..20 {
        let (breaker, _) = breaker(&server).await;
        callers.spawn(async move {
            matches!(breaker.admit().await.unwrap(), Admission::Go(pass) if pass.is_probe())
        });
    }
    let probes = callers.join_all().await.into_iter().filter(|is_probe| *is_probe).count();
    assert_eq!(probes, 1);
    assert_eq!(first.read().await.unwrap().0, State::HalfOpen);
}

#[tokio::test]
async fn a_good_probe_closes_it_and_a_bad_one_doubles_the_wait() {
    use State::{Closed, HalfOpen, Open};
    let server = RedisServer::start().await;
    let (breaker, changes) = breaker(&server).await;
    open(&breaker).await;
    let bad = probe(&breaker).await;
    assert_eq!(breaker.failed(&bad).await.unwrap(), Failure::Outage);
    let Look::Wait(wait) = breaker_of(&server).await.look().await.unwrap() else { panic!("not open") };
    assert!(wait > SETTINGS.open_min && wait <= SETTINGS.open_min * 2, "{wait:?}");
    let good = probe(&breaker).await;
    breaker.succeeded(&good).await.unwrap();
    assert!(!pass(&breaker).await.is_probe());
    assert_eq!(breaker.read().await.unwrap(), (State::Closed, 0));
    let expected = [(Closed, Open), (Open, HalfOpen), (HalfOpen, Open), (Open, HalfOpen), (HalfOpen, Closed)];
    assert_eq!(*changes.lock().unwrap(), expected);
    // The next trip starts with the short wait again.
    open(&breaker).await;
    let Look::Wait(wait) = breaker_of(&server).await.look().await.unwrap() else { panic!("not open") };
    assert!(wait <= SETTINGS.open_min, "{wait:?}");
}

async fn breaker_of(server: &RedisServer) -> Breaker<MultiplexedConnection> {
    breaker(server).await.0
}

#[tokio::test]
async fn a_dead_prober_frees_the_slot_and_its_late_verdict_is_ignored() {
    let server = RedisServer::start().await;
    let (breaker, _) = breaker(&server).await;
    open(&breaker).await;
    let dead = probe(&breaker).await;
    let next = eventually("the slot is free again", LIMIT, async || {
        match breaker_of(&server).await.admit().await.unwrap() {
            Admission::Go(pass) => Some(pass),
            Admission::Wait(_) => None,
        }
    })
    .await;
    assert!(next.is_probe());
    breaker.succeeded(&dead).await.unwrap();
    assert_eq!(breaker.read().await.unwrap().0, State::HalfOpen, "the dead prober's verdict counted");
    breaker.succeeded(&next).await.unwrap();
    assert_eq!(breaker.read().await.unwrap().0, State::Closed);
}

#[tokio::test]
async fn verdicts_from_before_the_last_trip_change_nothing() {
    let server = RedisServer::start().await;
    let (breaker, _) = breaker(&server).await;
    let early = pass(&breaker).await;
    open(&breaker).await;
    breaker.succeeded(&early).await.unwrap();
    assert_eq!(breaker.read().await.unwrap().0, State::Open);
    let good = probe(&breaker).await;
    breaker.succeeded(&good).await.unwrap();
    for _late in 0..9 {
        assert_eq!(breaker.failed(&early).await.unwrap(), Failure::Outage);
        breaker.trip(&early).await.unwrap();
    }
    assert_eq!(breaker.read().await.unwrap(), (State::Closed, 0));
}

#[tokio::test]
async fn a_probe_given_back_is_there_for_the_next_caller() {
    let server = RedisServer::start().await;
    let (breaker, _) = breaker(&server).await;
    open(&breaker).await;
    let unused = probe(&breaker).await;
    breaker.give_back(&unused).await.unwrap();
    assert!(pass(&breaker_of(&server).await).await.is_probe());
}

#[tokio::test]
async fn a_trip_opens_at_once() {
    let server = RedisServer::start().await;
    let (breaker, _) = breaker(&server).await;
    let pass = pass(&breaker).await;
    breaker.trip(&pass).await.unwrap();
    assert_eq!(breaker.read().await.unwrap().0, State::Open);
}

#[tokio::test]
async fn an_open_state_without_its_time_counts_as_expired() {
    let server = RedisServer::start().await;
    let mut conn = server.connection().await;
    let () = conn.set(format!("{PREFIX}:state"), "OPEN").await.unwrap();
    assert!(pass(&breaker_of(&server).await).await.is_probe());
}

#[tokio::test]
async fn it_can_be_hurried_and_keeps_to_one_probe() {
    let server = RedisServer::start().await;
    let settings =
        BreakerSettings { open_min: Duration::from_mins(5), open_max: Duration::from_mins(5), ..SETTINGS };
    let breaker = Breaker::new(server.connection().await, PREFIX, settings, Box::new(|_, _| {}));
    breaker.hurry().await.unwrap();
    assert_eq!(breaker.look().await.unwrap(), Look::Flowing);
    open(&breaker).await;
    assert!(matches!(breaker.look().await.unwrap(), Look::Wait(_)));
    breaker.hurry().await.unwrap();
    assert_eq!(breaker.look().await.unwrap(), Look::ProbeFree);
    assert!(pass(&breaker).await.is_probe());
    assert!(matches!(breaker_of(&server).await.admit().await.unwrap(), Admission::Wait(_)));
}
