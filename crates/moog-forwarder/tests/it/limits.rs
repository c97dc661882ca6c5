//! The shared sending limit, seen from the receiving end.

use std::time::Duration;

use mutt_core::redis::rate_limiter::RateLimit;
use mutt_test_support::{
    eventually,
    moog::{Fault, MoogServer, Script},
};
use redis::AsyncCommands as _;

use crate::harness::{LIMIT, Stack, alerts};

#[tokio::test]
async fn no_window_is_over_the_limit_and_nothing_is_given_up_for_it() {
    let window = Duration::from_millis(500);
    let mut stack = Stack::with(MoogServer::builder().window(window).start().await.unwrap()).await;
    stack.set("MOOG_LANES", "16");
    let limited = |settings: &mut mutt_moog_forwarder::settings::Settings| {
        settings.sending.limit = RateLimit { permits: 25, window };
    };
    let forwarders = [stack.forwarder_with(limited).await, stack.forwarder_with(limited).await];
    stack.push(alerts(200)).await;
    stack.delivered(200).await;
    let stats = stack.moog.stats();
    assert_eq!((stats.unique, stats.duplicates), (200, 0));
    assert!(stats.peak_requests <= 25, "{} in one window", stats.peak_requests);
    let took = stats.last_ms.unwrap() - stats.first_ms.unwrap();
    // Eight windows at least for 200 at 25 a window, seven of which must pass; waits may not add a half.
    assert!((3_500..5_600).contains(&took), "{took} ms");
    assert!(stack.dead().await.is_empty());
    let mut hits = 0;
    for forwarder in &forwarders {
        hits += forwarder.metric("mutt_moog_rate_limit_hits_total").await;
    }
    assert!(hits > 0);
    for forwarder in forwarders {
        forwarder.stop().await;
    }
}

#[tokio::test]
async fn the_limit_follows_its_live_setting() {
    let mut stack = Stack::start().await;
    stack.set("DYNAMIC_CONFIG_ENABLED", "true");
    stack.set("MOOG_RATE_LIMIT", "1");
    stack.set("MOOG_RATE_PERIOD", "3600");
    let forwarder = stack.forwarder().await;
    stack.push(alerts(100)).await;
    stack.delivered(1).await;
    let mut conn = stack.redis.connection().await;
    let () = conn.set("mutt:config:moog_rate_limit", "1000").await.unwrap();
    let () = conn.publish("mutt:config:updates", "moog_rate_limit").await.unwrap();
    stack.delivered(100).await;
    forwarder.stop().await;
}

#[tokio::test]
async fn a_slow_receiver_is_sent_to_by_all_lanes_at_once() {
    let mut stack = Stack::start().await;
    stack.set("MOOG_LANES", "64");
    stack.moog.set_script(Script::always(Fault::delay_ms(100)));
    let forwarder = stack.forwarder().await;
    stack.push(alerts(640)).await;
    stack.delivered(640).await;
    let stats = stack.moog.stats();
    let took = stats.last_ms.unwrap() - stats.first_ms.unwrap();
    // Ten rounds of 64; one after the other would be a minute.
    assert!(took < 5_000, "{took} ms");
    eventually("nothing is in hand", LIMIT, async || {
        forwarder.metric("mutt_moog_processing_list_depth").await == 0
    })
    .await;
    forwarder.stop().await;
}
