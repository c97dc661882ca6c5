//! Outages, crashes and slow receivers: late is all that an alert may become.

use std::{collections::HashSet, time::Duration};

use mutt_test_support::{
    eventually,
    moog::{Auth, Fault, Manner, MoogServer, Script},
};

use crate::harness::{KEY, LIMIT, Stack, alerts};

#[tokio::test]
async fn an_outage_gives_nothing_up_and_all_arrive_after_it() {
    let stack = Stack::start().await;
    stack.moog.set_script(Script::always(Fault::status(503)));
    let forwarder = stack.forwarder().await;
    stack.push(alerts(1_500)).await;
    // Long enough for many probes to fail: each doubles the wait, up to 400 ms.
    let opened =
        r#"mutt_circuit_breaker_state_changes_total{from_state="HALF_OPEN",name="moogsoft",to_state="OPEN"}"#;
    eventually("eight probes failed", LIMIT, async || forwarder.metric(opened).await >= 8).await;
    let during = stack.moog.stats().requests;
    assert!(during < 10 + 8 + 8 + 20, "{during} requests to a receiver that is down");
    assert!(stack.dead().await.is_empty());
    stack.moog.set_script(Script::default());
    stack.delivered(1_500).await;
    assert!(stack.dead().await.is_empty());
    assert_eq!((stack.moog.stats().unique, stack.moog.stats().duplicates), (1_500, 0));
    // The failures that were counted before the one that opened the breaker, and none again.
    let receipts = stack.moog.receipts();
    let charged: HashSet<&str> = receipts
        .iter()
        .filter(|receipt| receipt.header("x-mutt-attempt") != "1")
        .map(|receipt| receipt.header("idempotency-key"))
        .collect();
    assert!(charged.len() <= 9, "{} alerts were charged for the outage", charged.len());
    assert!(receipts.iter().all(|receipt| ["1", "2"].contains(&receipt.header("x-mutt-attempt"))));
    forwarder.stop().await;
    assert_eq!(stack.ledger().await, (1_500, 0));
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_waited_for() {
    let mut stack = Stack::start().await;
    let gone = MoogServer::start().await;
    let address = gone.address();
    stack.send_to(gone.url());
    gone.stop(Duration::from_secs(1)).await;
    let forwarder = stack.forwarder().await;
    stack.push(alerts(200)).await;
    let state = r#"mutt_circuit_breaker_state{name="moogsoft"}"#;
    eventually("the breaker opens", LIMIT, async || forwarder.metric(state).await == 2).await;
    let back = MoogServer::builder().address(address).auth(Auth::Bearer(KEY.into())).start().await.unwrap();
    stack.delivered(200).await;
    assert_eq!(back.stats().unique, 200);
    assert!(stack.dead().await.is_empty());
    forwarder.stop().await;
}

#[tokio::test]
async fn one_alert_that_always_fails_does_not_keep_the_breaker_open_for_all() {
    let stack = Stack::start().await;
    stack.moog.set_script(Script::steps([Fault::status(500).times(25)]));
    let forwarder = stack.forwarder_with(|settings| settings.stage.lanes = 1).await;
    stack.push(alerts(5)).await;
    stack.delivered(5).await;
    assert!(stack.dead().await.is_empty());
    forwarder.stop().await;
}

#[tokio::test]
async fn a_crash_repeats_only_what_was_in_hand_and_under_the_same_id() {
    let stack = Stack::start().await;
    // Taken in at once, answered late: a crash in between is the one case of a copy.
    stack.moog.set_script(Script::always(Fault::manner(Manner::Silent)));
    let soon = |settings: &mut mutt_moog_forwarder::settings::Settings| {
        settings.stage.lease = Duration::from_secs(1);
        settings.moog.timeout = Duration::from_secs(30);
    };
    let crashed = stack.forwarder_with(soon).await;
    stack.push(alerts(40)).await;
    eventually("all lanes are waiting for an answer", LIMIT, async || stack.moog.stats().accepted == 8).await;
    drop(crashed);
    stack.moog.set_script(Script::default());
    let next = stack.forwarder_with(soon).await;
    stack.delivered(40).await;
    let stats = stack.moog.stats();
    assert_eq!((stats.unique, stats.duplicates), (40, 8));
    let receipts = stack.moog.receipts();
    let copies: Vec<_> =
        receipts.iter().take(8).map(|receipt| receipt.header("idempotency-key").to_owned()).collect();
    for id in copies {
        let bodies: Vec<_> = receipts
            .iter()
            .filter(|receipt| receipt.header("idempotency-key") == id)
            .map(|receipt| &receipt.body)
            .collect();
        assert!(bodies.len() == 2 && bodies[0] == bodies[1], "{id}");
    }
    next.stop().await;
}

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_loses_and_doubles_nothing() {
    let mut stack = Stack::start().await;
    stack.moog.set_script(Script::always(Fault::delay_ms(20)));
    let forwarder = stack.forwarder().await;
    stack.push(alerts(600)).await;
    eventually("it is at work", LIMIT, async || stack.moog.stats().accepted > 50).await;
    stack.redis.restart().await;
    stack.delivered(600).await;
    let stats = stack.moog.stats();
    // What was answered while Redis was away is acknowledged when it is back.
    assert_eq!((stats.unique, stats.duplicates), (600, 0));
    forwarder.stop().await;
}
