//! Many events by every door: what went in, the table and the ledger agree to the last one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::stack::Stack;

/// The original's demo data lies beside the project on some machines only.
fn corpus(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora").join(name);
    if path.is_file() {
        return Some(path);
    }
    // Written past the test harness, which keeps the words of a test that passes to itself.
    let (Ok(()) | Err(_)) = writeln!(std::io::stderr(), "SKIPPED: {} is not on this machine", path.display());
    None
}

/// Sends, and returns how many the sender believes to have arrived.
async fn send(stack: &Stack, words: &[&str]) -> i64 {
    let report = stack.mutt_json(&[&["send"], words].concat()).await;
    assert_eq!((&report["failed"], &report["refused"]), (&0.into(), &0.into()), "{words:?}: {report}");
    report["events"].as_i64().expect("a count")
}

/// Every event that was sent has one row, one outcome, and its alert went out once.
async fn all_accounted_for(stack: &Stack, sent: i64) -> Value {
    let ledger = stack.settled().await;
    assert_eq!(Stack::count(&ledger, "alerter", "in"), sent, "taken in: {ledger}");
    let ended = Stack::count(&ledger, "alerter", "handled") + Stack::count(&ledger, "alerter", "unhandled");
    assert_eq!(ended, sent, "outcomes: {ledger}");
    assert_eq!(stack.audited().await, sent, "rows");
    let distinct: i64 = sqlx::query_scalar("select count(distinct event_id) from event_audit_log")
        .fetch_one(&stack.audit)
        .await
        .expect("PostgreSQL");
    assert_eq!(distinct, sent, "no event has two rows");
    let delivered = Stack::count(&ledger, "moog", "delivered");
    let stats = stack.moog_stats().await;
    assert_eq!(stats["unique"], delivered, "{stats}");
    assert_eq!(stats["duplicates"], 0, "{stats}");
    ledger
}

#[tokio::test]
async fn the_original_demo_data_goes_through_by_every_door() {
    let (Some(events), Some(traps)) = (corpus("demo_syslog_events.json"), corpus("demo_snmp_traps.json"))
    else {
        return;
    };
    let (events, traps) = (events.to_str().expect("UTF-8"), traps.to_str().expect("UTF-8"));
    let stack = Stack::start().await;
    let mut sent = 0;
    sent += send(&stack, &["udp", events, "--rate", "500"]).await;
    sent += send(&stack, &["tcp", events]).await;
    sent += send(&stack, &["tcp", events, "--framing", "octets", "--format", "rfc3164"]).await;
    sent += send(&stack, &["http", events, "--batch", "1"]).await;
    sent += send(&stack, &["http", events, "--batch", "50", "--body", "array"]).await;
    sent += send(&stack, &["http", traps, "--batch", "30"]).await;
    assert_eq!(sent, 5 * 330 + 100);
    let ledger = all_accounted_for(&stack, sent).await;
    // The seed rules' texts match 30 of the 330 events; all of their teams want to know.
    assert!(Stack::count(&ledger, "alerter", "handled") >= 5 * 30, "{ledger}");
    stack.stop().await;
}

#[tokio::test]
async fn thousands_of_made_up_events_are_neither_lost_nor_doubled() {
    let stack = Stack::start().await;
    let (udp, tcp, http) = tokio::join!(
        send(&stack, &["udp", "-n", "2000", "--rate", "400", "--seed", "11"]),
        send(&stack, &["tcp", "-n", "3000", "--connections", "3", "--seed", "12"]),
        send(&stack, &["http", "-n", "3000", "--connections", "4", "--seed", "13"]),
    );
    all_accounted_for(&stack, udp + tcp + http).await;
    stack.stop().await;
}
