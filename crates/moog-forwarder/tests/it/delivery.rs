//! What arrives when all is well.

use mutt_test_support::{
    eventually,
    moog::{Auth, Fault, MoogServer, Script},
};

use crate::harness::{KEY, LIMIT, Stack, alert, alerts};

#[tokio::test]
async fn an_alert_arrives_once_with_its_fields_and_headers() {
    let stack = Stack::start().await;
    let forwarder = stack.forwarder().await;
    let ids = stack.push([alert(1)]).await;
    stack.delivered(1).await;
    let receipts = stack.moog.receipts();
    assert_eq!(receipts.len(), 1);
    let receipt = &receipts[0];
    let event = &receipt.events()[0];
    assert_eq!(event["external_id"], ids[0].as_str());
    assert_eq!((event["severity"].as_i64(), event["class"].as_str()), (Some(4), Some("NETO")));
    assert_eq!(event["signature"], "sw1::LINK-3-UPDOWN::rule-7");
    assert_eq!(event["custom_info"]["correlation_id"], "req-1");
    assert_eq!(event["custom_info"]["raw_event"]["hostname"], "sw1");
    assert_eq!(receipt.header("idempotency-key"), ids[0]);
    assert_eq!(receipt.header("x-correlation-id"), "req-1");
    assert_eq!(receipt.header("x-mutt-attempt"), "1");
    assert!(receipt.header("traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_eq!(receipt.header("authorization"), format!("Bearer {KEY}"));
    assert_eq!(forwarder.metric(r#"mutt_moog_alerts_processed_total{status="success"}"#).await, 1);
    assert_eq!(forwarder.metric(r#"mutt_moog_requests_total{reason="",status="success"}"#).await, 1);
    assert_eq!(forwarder.metric("mutt_moog_delivery_age_seconds_count").await, 1);
    forwarder.stop().await;
}

#[tokio::test]
async fn many_alerts_arrive_once_each_over_two_forwarders() {
    let stack = Stack::start().await;
    let forwarders = [stack.forwarder().await, stack.forwarder().await];
    stack.push(alerts(3_000)).await;
    stack.delivered(3_000).await;
    let stats = stack.moog.stats();
    assert_eq!((stats.requests, stats.unique, stats.duplicates), (3_000, 3_000, 0));
    for forwarder in forwarders {
        forwarder.stop().await;
    }
    assert_eq!(stack.ledger().await, (3_000, 0));
}

#[tokio::test]
async fn both_dialects_and_every_form_of_key_work() {
    for (dialect, form, auth) in [
        ("webhook", "basic", Auth::Basic("user:pass word".into())),
        ("cloud", "apikey", Auth::ApiKey("user:pass word".into())),
        ("cloud", "bearer", Auth::Bearer("user:pass word".into())),
    ] {
        let mut stack = Stack::with(MoogServer::builder().auth(auth).start().await.unwrap()).await;
        stack.rotate_key("user:pass word");
        stack.set("MOOG_DIALECT", dialect);
        stack.set("MOOG_AUTH", form);
        if dialect == "cloud" {
            stack.send_to(stack.moog.cloud_url());
        }
        let forwarder = stack.forwarder().await;
        stack.push(alerts(3)).await;
        stack.delivered(3).await;
        let stats = stack.moog.stats();
        assert_eq!((stats.unique, stats.unauthorized), (3, 0), "{dialect} {form}");
        forwarder.stop().await;
    }
}

#[tokio::test]
async fn entries_of_other_producers_are_sent_or_kept_as_dead_letters() {
    let stack = Stack::start().await;
    let forwarder = stack.forwarder().await;
    // As the original's alerter wrote them, key included.
    stack
        .push_raw(
            br#"{"api_key":"s3cret","hostname":"old1","team_assignment":"NETO","severity":"Major","message_body":"m","raw_json":{"a":1},"_correlation_id":"c"}"#,
        )
        .await;
    for broken in [&b"not json"[..], b"{\"hostname\":1}", b"\xff\xfe", b"[]"] {
        stack.push_raw(broken).await;
    }
    stack.delivered(1).await;
    eventually("the broken ones are dead", LIMIT, async || stack.dead().await.len() == 4).await;
    assert!(stack.dead().await.iter().all(|(why, _)| why.reason == "undecodable" && !why.error.is_empty()));
    let receipts = stack.moog.receipts();
    assert!(!String::from_utf8_lossy(&receipts[0].body).contains("s3cret"));
    let event = &receipts[0].events()[0];
    assert_eq!(
        (event["severity"].as_i64(), event["signature"].as_str()),
        (Some(4), Some("old1::event::rule-none"))
    );
    assert_eq!(event["external_id"].as_str().map(str::len), Some(36));
    forwarder.stop().await;
    assert_eq!(stack.ledger().await, (1, 4));
}

#[tokio::test]
async fn alerts_of_one_batch_are_sent_side_by_side_and_have_outcomes_of_their_own() {
    let mut stack = Stack::start().await;
    stack.set("MOOG_LANES", "1");
    stack.set("MOOG_BATCH_SIZE", "6");
    let slow = |status| Fault { delay_ms: 400, ..Fault::status(status) };
    let mut script = Script::steps([slow(400), slow(500)]);
    script.always = Some(slow(200));
    stack.moog.set_script(script);
    stack.push(alerts(12)).await;
    let forwarder = stack.forwarder().await;
    stack.delivered(11).await;
    assert_eq!(stack.dead().await.len(), 1);
    let stats = stack.moog.stats();
    assert_eq!((stats.requests, stats.unique, stats.duplicates), (13, 11, 0));
    let took = stats.last_ms.unwrap() - stats.first_ms.unwrap();
    // Two batches and the one that is tried again; one after the other would be 5 s.
    assert!(took < 2_500, "{took} ms");
    forwarder.stop().await;
    assert_eq!(stack.ledger().await, (11, 1));
}
