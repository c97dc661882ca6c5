//! Services killed and Moogsoft failing in the middle of a stream: nothing is lost, no row is doubled.

use mutt_test_support::eventually;
use serde_json::json;

use crate::stack::{PATIENCE, Stack};

#[tokio::test]
async fn killed_services_come_back_and_lose_nothing() {
    let stack = Stack::start().await;
    let sending = stack.mutt_json(&["send", "http", "-n", "3000", "--rate", "300", "--batch", "20"]);
    let killing = async {
        for service in ["mutt-alerter", "mutt-moog-forwarder", "mutt-ingestor"] {
            eventually("events on their way", PATIENCE, async || {
                let ledger = stack.mutt_json(&["ledger"]).await;
                Stack::count(&ledger, "alerter", "in") > 0
            })
            .await;
            let before = stack.pid_of(service);
            stack.kill(service);
            eventually(&format!("{service} to come back"), PATIENCE, async || {
                stack.pid_of(service).filter(|pid| Some(*pid) != before)
            })
            .await;
        }
    };
    let (report, ()) = tokio::join!(sending, killing);
    // A batch whose connection broke is repeated under its idempotency key: all arrive, none twice.
    assert_eq!(report["accepted"], 3000, "{report}");
    let ledger = stack.settled().await;
    assert_eq!(Stack::count(&ledger, "alerter", "in"), 3000);
    assert_eq!(stack.audited().await, 3000);
    stack.stop().await;
}

#[tokio::test]
async fn a_failing_moogsoft_delays_alerts_and_loses_none() {
    let stack = Stack::start().await;
    let faults = json!({"steps": [{"status": 503, "times": 3}, {"manner": "reset", "times": 2}]});
    stack.moog_script(&faults).await;
    let events: Vec<_> = (0..20)
        .map(|n| json!({"hostname": format!("sw{n}"), "timestamp": "2026-11-20T10:00:00Z", "message": "LINK-DOWN now"}))
        .collect();
    let answer = stack.ingest().json(&events).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let ledger = stack.settled().await;
    assert_eq!(Stack::count(&ledger, "moog", "delivered"), 20, "{ledger}");
    assert_eq!(stack.moog_stats().await["unique"], 20);
    stack.stop().await;
}
