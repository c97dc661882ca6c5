//! Stopping, health and what is served about it.

use mutt_test_support::{
    eventually,
    moog::{Fault, Manner, MoogServer, Script},
};

use crate::harness::{LIMIT, Stack, alerts};

#[tokio::test]
async fn a_stop_finishes_what_is_in_hand_and_leaves_the_rest() {
    let stack = Stack::start().await;
    stack.moog.set_script(Script::always(Fault::delay_ms(500)));
    let forwarder = stack.forwarder().await;
    stack.push(alerts(100)).await;
    eventually("all lanes are at work", LIMIT, async || stack.moog.stats().requests >= 8).await;
    forwarder.stop().await;
    let (delivered, dead) = stack.ledger().await;
    assert!((8..=24).contains(&delivered), "{delivered} delivered");
    assert_eq!((stack.queued().await, dead), (100 - usize::try_from(delivered).unwrap(), 0));
    assert_eq!(stack.moog.stats().accepted, delivered.unsigned_abs());
    stack.moog.set_script(Script::default());
    let next = stack.forwarder().await;
    stack.delivered(100).await;
    assert_eq!(stack.moog.stats().duplicates, 0);
    next.stop().await;
}

#[tokio::test]
async fn a_hurried_stop_gives_back_what_is_in_hand() {
    let stack = Stack::start().await;
    stack.moog.set_script(Script::always(Fault::manner(Manner::Silent)));
    let forwarder = stack.forwarder_with(|settings| settings.moog.timeout = LIMIT).await;
    stack.push(alerts(30)).await;
    eventually("all lanes are waiting for an answer", LIMIT, async || stack.moog.stats().requests == 8).await;
    forwarder.lifecycle.abort("the test");
    forwarder.ended().await;
    assert_eq!(stack.queued().await, 30);
    assert_eq!(stack.ledger().await, (0, 0));
}

#[tokio::test]
async fn retries_that_wait_survive_a_stop() {
    let stack = Stack::start().await;
    stack.moog.set_script(Script::always(Fault::status(500)));
    let patient = |settings: &mut mutt_moog_forwarder::settings::Settings| {
        settings.sending.retries.base = LIMIT;
        settings.sending.retries.max = LIMIT;
    };
    let forwarder = stack.forwarder_with(patient).await;
    stack.push(alerts(3)).await;
    eventually("all wait for their next try", LIMIT, async || stack.delayed().await == 3).await;
    eventually("it is shown", LIMIT, async || forwarder.metric("mutt_moog_retries_waiting").await == 3).await;
    forwarder.stop().await;
    assert_eq!((stack.delayed().await, stack.queued().await), (3, 0));
    assert_eq!(stack.ledger().await, (0, 0));
}

#[tokio::test]
async fn health_depends_on_redis_and_not_on_moogsoft() {
    let mut stack = Stack::start().await;
    let gone = MoogServer::start().await;
    stack.send_to(gone.url());
    drop(gone);
    let forwarder = stack.forwarder().await;
    stack.push(alerts(1)).await;
    let (status, body) = forwarder.health().await;
    assert_eq!((status, body["service"].as_str()), (200, Some("mutt-moog-forwarder")));
    stack.redis.kill();
    eventually("it says that Redis is away", LIMIT, async || forwarder.health().await.0 == 503).await;
    stack.redis.restart().await;
    eventually("it is well again", LIMIT, async || forwarder.health().await.0 == 200).await;
    forwarder.stop().await;
    stack.redis.kill();
}
