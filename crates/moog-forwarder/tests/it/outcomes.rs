//! The table of outcomes, row by row: delivered, tried again, held, or refused for good.

use std::time::Duration;

use mutt_test_support::{
    eventually,
    moog::{Auth, Fault, Manner, Script},
};

use crate::harness::{KEY, LIMIT, Stack, alert, alerts};

fn with_body(status: u16, body: &str) -> Fault {
    Fault { body: Some(body.into()), ..Fault::status(status) }
}

#[tokio::test]
async fn any_good_status_is_a_delivery() {
    let stack = Stack::start().await;
    let forwarder = stack.forwarder().await;
    let rows = [
        Fault::status(201),
        Fault::status(202),
        Fault::status(204),
        with_body(200, ""),
        with_body(200, "OK"),
    ];
    for (count, fault) in (1..).zip(rows) {
        stack.moog.set_script(Script::steps([fault]));
        stack.push([alert(1)]).await;
        stack.delivered(count).await;
    }
    assert_eq!(stack.moog.stats().requests, 5);
    assert_eq!(forwarder.metric("mutt_moog_uncertain_deliveries_total").await, 1);
    forwarder.stop().await;
}

#[tokio::test]
async fn what_may_pass_is_tried_again_until_it_arrives() {
    let stack = Stack::start().await;
    let forwarder = stack.forwarder().await;
    let rows = [
        Fault::status(408),
        Fault::status(425),
        Fault::status(429),
        Fault::status(500),
        Fault::status(502),
        Fault::status(503),
        Fault::status(504),
        with_body(200, r#"{"success":false,"message":"not taken"}"#),
        Fault::manner(Manner::Reset),
        Fault::manner(Manner::Garbage),
        Fault::manner(Manner::Silent),
        Fault::manner(Manner::Drip),
        Fault { manner: Manner::Reset, ..Fault::status(500) },
    ];
    for (count, fault) in (1..).zip(rows) {
        stack.moog.set_script(Script::steps([fault.clone()]));
        stack.push([alert(1)]).await;
        stack.delivered(count).await;
        let receipts = stack.moog.receipts();
        let [.., first, second] = &receipts[..] else { panic!("two requests") };
        assert_eq!(first.header("idempotency-key"), second.header("idempotency-key"), "{fault:?}");
        assert_eq!(
            (first.header("x-mutt-attempt"), second.header("x-mutt-attempt")),
            ("1", "2"),
            "{fault:?}"
        );
        assert_eq!(first.body, second.body, "{fault:?}");
    }
    assert!(stack.dead().await.is_empty());
    forwarder.stop().await;
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_counts_by_its_status() {
    let stack = Stack::start().await;
    let forwarder = stack.forwarder().await;
    stack.moog.set_script(Script::steps([Fault::manner(Manner::Flood)]));
    stack.push([alert(1)]).await;
    stack.delivered(1).await;
    assert_eq!(stack.moog.stats().requests, 1);
    forwarder.stop().await;
}

#[tokio::test]
async fn what_moogsoft_refuses_for_good_is_a_dead_letter_with_its_answer() {
    let stack = Stack::start().await;
    let forwarder = stack.forwarder().await;
    for (count, status) in (1..).zip([400, 406, 409, 413, 415, 422, 451]) {
        stack.moog.set_script(Script::steps([with_body(status, &"no such field ".repeat(500))]));
        let ids = stack.push([alert(1), alert(2)]).await;
        eventually("one is dead", LIMIT, async || stack.dead().await.len() == count).await;
        // The other one arrives all the same.
        stack.delivered(i64::try_from(count).unwrap()).await;
        let (why, entry) = stack.dead().await.swap_remove(0);
        assert_eq!((why.reason.as_str(), why.stage.as_str(), why.attempts), ("rejected", "moog", 1));
        assert!(why.error.contains(&status.to_string()), "{}", why.error);
        let answer = why.answer.unwrap();
        assert!(answer.starts_with("no such field") && answer.len() <= 2_048);
        assert!(
            ids.iter().any(|id| entry.starts_with(&format!(r#"{{"_id":"{id}","#))),
            "the whole alert is kept"
        );
    }
    assert_eq!(forwarder.metric(r#"mutt_moog_alerts_processed_total{status="dlq"}"#).await, 7);
    forwarder.stop().await;
    assert_eq!(stack.ledger().await, (7, 7));
}

#[tokio::test]
async fn a_wrong_configuration_holds_everything_and_costs_nothing() {
    let stack = Stack::start().await;
    let forwarder = stack.forwarder().await;
    let redirect = Fault { location: Some("/events/webhook_webhook1".into()), ..Fault::status(307) };
    let rows = [
        (redirect, "redirect"),
        (Fault::status(401), "credentials"),
        (Fault::status(403), "credentials"),
        (Fault::status(404), "address"),
        (Fault::status(405), "address"),
        (Fault::status(407), "account"),
        (Fault::status(410), "address"),
        (Fault::manner(Manner::LoginPage), "web_page"),
    ];
    for (round, (fault, label)) in (1..).zip(rows) {
        stack.moog.set_script(Script::always(fault));
        let refused = stack.moog.stats().requests;
        stack.push(alerts(20)).await;
        let gauge = format!(r#"mutt_moog_configuration_fault{{fault="{label}"}}"#);
        eventually("it is probed and refused again", LIMIT, async || {
            stack.moog.stats().requests >= refused + 10 && forwarder.metric(&gauge).await == 1
        })
        .await;
        assert!(stack.dead().await.is_empty());
        assert_eq!(stack.ledger().await.0, (round - 1) * 20, "nothing was taken for delivered");
        stack.moog.set_script(Script::default());
        stack.delivered(round * 20).await;
        assert_eq!(forwarder.metric(&gauge).await, 0);
    }
    let receipts = stack.moog.receipts();
    assert!(receipts.iter().all(|receipt| receipt.header("x-mutt-attempt") == "1"), "an attempt was charged");
    forwarder.stop().await;
}

#[tokio::test]
async fn a_wrong_key_holds_until_the_key_changes_and_then_goes_on_at_once() {
    let stack = Stack::start().await;
    stack.moog.set_auth(Auth::Bearer("the next key".into()));
    // So long that only the change of the key can be what ends it.
    let forwarder = stack
        .forwarder_with(|settings| {
            let breaker = settings.sending.breaker.as_mut().unwrap();
            (breaker.open_min, breaker.open_max) = (LIMIT * 10, LIMIT * 10);
        })
        .await;
    stack.push(alerts(50)).await;
    eventually("it is refused", LIMIT, async || stack.moog.stats().unauthorized > 0).await;
    eventually("all is back on the queue", LIMIT, async || stack.queued().await == 50).await;
    assert_eq!(forwarder.metric(r#"mutt_circuit_breaker_state{name="moogsoft"}"#).await, 2);
    stack.rotate_key("the next key");
    stack.delivered(50).await;
    assert!(stack.dead().await.is_empty());
    assert_eq!(stack.moog.stats().duplicates, 0);
    // The lanes that were on their way when the first was refused, and nobody after.
    assert!(stack.moog.stats().unauthorized <= 8);
    forwarder.stop().await;
}

#[tokio::test]
async fn without_a_key_nothing_is_sent_and_nothing_lost() {
    let stack = Stack::start().await;
    stack.rotate_key("");
    let forwarder = stack.forwarder().await;
    stack.push(alerts(5)).await;
    let gauge = r#"mutt_moog_configuration_fault{fault="no_key"}"#;
    eventually("it says so", LIMIT, async || forwarder.metric(gauge).await == 1).await;
    assert_eq!(stack.moog.stats().requests, 0);
    stack.rotate_key(KEY);
    stack.delivered(5).await;
    forwarder.stop().await;
}

#[tokio::test]
async fn retry_after_is_honoured_by_every_forwarder() {
    for fault in [Fault::status(429).retry_after("1"), Fault::status(503).retry_after("1")] {
        let mut stack = Stack::start().await;
        // Without any limit a process asks Redis every 50 ms only, and hears of a hold that late.
        stack.set("MOOG_RATE_LIMIT", "100000");
        let forwarders = [stack.forwarder().await, stack.forwarder().await];
        stack.push([alert(0)]).await;
        stack.delivered(1).await;
        stack.moog.set_script(Script::steps([fault.clone()]));
        stack.push([alert(1)]).await;
        eventually("it is asked for calm", LIMIT, async || stack.moog.stats().requests == 2).await;
        eventually("the others know", LIMIT, async || {
            redis::AsyncCommands::exists::<_, bool>(
                &mut stack.redis.connection().await,
                "mutt:rate_limit:moog:hold",
            )
            .await
            .unwrap()
        })
        .await;
        stack.push(alerts(20)).await;
        stack.delivered(22).await;
        let receipts = stack.moog.receipts();
        let calm = receipts[2].at.saturating_sub(receipts[1].at);
        assert!(calm >= Duration::from_millis(980), "{calm:?} after {fault:?}");
        assert_eq!(stack.moog.stats().duplicates, 0);
        for forwarder in forwarders {
            forwarder.stop().await;
        }
    }
}

#[tokio::test]
async fn an_alert_that_fails_alone_is_given_up_after_its_tries() {
    let stack = Stack::start().await;
    let forwarder = stack.forwarder().await;
    stack.moog.set_script(Script::steps([with_body(500, "it hurts").times(6)]));
    stack.push([alert(1)]).await;
    eventually("it is dead", LIMIT, async || stack.dead().await.len() == 1).await;
    let (why, _) = stack.dead().await.swap_remove(0);
    assert_eq!(
        (why.reason.as_str(), why.attempts, why.answer.as_deref()),
        ("attempts_spent", 6, Some("it hurts"))
    );
    let attempts: Vec<String> =
        stack.moog.receipts().iter().map(|receipt| receipt.header("x-mutt-attempt").to_owned()).collect();
    assert_eq!(attempts, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(
        forwarder.metric(r#"mutt_moog_requests_total{reason="retry_exhausted",status="fail"}"#).await,
        1
    );
    stack.push([alert(2)]).await;
    stack.delivered(1).await;
    forwarder.stop().await;
    assert_eq!(stack.ledger().await, (1, 1));
}
