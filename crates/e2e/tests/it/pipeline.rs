//! From a real sender to Moogsoft: `logger` and HTTP, each event an audit row, each forwarded one an alert.

use std::process::Stdio;

use mutt_test_support::eventually;
use serde_json::{Value, json};
use sqlx::Row as _;
use tokio::process::Command;

use crate::stack::{PATIENCE, Stack};

/// The audit row of the only event whose text holds `part`.
async fn audit_row(stack: &Stack, part: &str) -> (String, bool, String, String) {
    let query = "select hostname, forwarded_to_moog, outcome, event_id::text as id from event_audit_log \
                 where raw_message like '%' || $1 || '%'";
    eventually(&format!("the audit row of {part}"), PATIENCE, async || {
        let rows =
            sqlx::query(query).bind(part).fetch_all(&stack.audit).await.map_err(|error| error.to_string())?;
        match rows.as_slice() {
            [row] => Ok((row.get(0), row.get(1), row.get(2), row.get(3))),
            rows => Err(format!("{} rows", rows.len())),
        }
    })
    .await
}

/// The alert at the stand-in whose text holds `part`.
async fn alert(stack: &Stack, part: &str) -> Value {
    eventually(&format!("the alert of {part}"), PATIENCE, async || {
        let alerts = stack.alerts(100).await;
        alerts
            .into_iter()
            .map(|alert| alert["event"].clone())
            .find(|event| event["description"].to_string().contains(part))
    })
    .await
}

async fn logger(stack: &Stack, words: &[&str]) {
    let (host, port) = stack.about("syslog").rsplit_once(':').expect("host:port");
    let mut command = Command::new("logger");
    command.args(["-n", host, "-P", port, "--rfc5424=notq"]).args(words).stdin(Stdio::null());
    let status = command.status().await.expect("logger runs");
    assert!(status.success());
}

#[tokio::test]
async fn a_line_of_logger_becomes_an_audit_row_and_an_alert() {
    let stack = Stack::start().await;
    logger(&stack, &["-d", "-p", "local0.crit", "-t", "probe", "LINK-DOWN on port 7, by datagram"]).await;
    logger(&stack, &["-T", "-p", "local0.err", "-t", "probe", "LINK-DOWN on port 8, by stream"]).await;
    logger(&stack, &["-d", "-p", "local0.info", "-t", "probe", "nothing to see here"]).await;

    for (part, severity) in [("by datagram", 5), ("by stream", 4)] {
        let (hostname, forwarded, outcome, _) = audit_row(&stack, part).await;
        assert!(!hostname.is_empty());
        assert_eq!((forwarded, outcome.as_str()), (true, "handled"), "{part}");
        let alert = alert(&stack, part).await;
        assert_eq!(alert["severity"], severity, "{alert}");
        assert_eq!(alert["source_id"], hostname, "{alert}");
        let signature = alert["signature"].as_str().unwrap();
        assert!(
            signature.starts_with(&format!("{hostname}::")) && signature.contains("::rule-"),
            "{signature}"
        );
        assert_eq!(alert["external_id"].as_str().unwrap().len(), 36);
    }
    let (_, forwarded, outcome, _) = audit_row(&stack, "nothing to see here").await;
    assert_eq!((forwarded, outcome.as_str()), (false, "unhandled"));
    let ledger = stack.settled().await;
    assert_eq!(Stack::count(&ledger, "alerter", "in"), 3);
    assert_eq!(Stack::count(&ledger, "moog", "delivered"), 2);
    stack.stop().await;
}

#[tokio::test]
async fn http_takes_one_event_an_array_and_lines() {
    let stack = Stack::start().await;
    let event = |host: &str, text: &str| json!({"hostname": host, "timestamp": "2026-11-20T10:00:00Z", "message": text, "severity": "error"});

    let answer = stack.ingest().json(&event("sw1", "LINK-DOWN alone")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["status"], "queued");
    let (_, forwarded, _, id) = audit_row(&stack, "LINK-DOWN alone").await;
    assert!(forwarded);
    assert_eq!(body["correlation_id"], id, "without a header, the event's id joins everything");

    let array = json!([event("sw2", "in an array, first"), event("sw2", "in an array, second")]);
    let answer = stack.ingest().json(&array).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());

    let lines = format!("{}\n{}\n", event("sw3", "on a line, first"), event("sw3", "on a line, second"));
    for (content_type, text) in [
        ("application/x-ndjson", lines.clone()),
        // As rsyslog's omhttp joins a batch.
        ("application/json", lines.replace("on a line", "joined")),
    ] {
        let answer = stack.ingest().header("Content-Type", content_type).body(text).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{content_type}: {}", answer.text().await.unwrap());
    }
    for part in [
        "in an array, first",
        "in an array, second",
        "on a line, first",
        "on a line, second",
        "joined, first",
        "joined, second",
    ] {
        assert_eq!(audit_row(&stack, part).await.2, "unhandled");
    }

    let mixed = json!([event("sw4", "a good one"), {"hostname": "sw4"}, event("", "no host")]);
    let answer = stack.ingest().json(&mixed).send().await.unwrap();
    assert_eq!(answer.status(), 207);
    audit_row(&stack, "a good one").await;
    let ledger = stack.settled().await;
    assert_eq!(Stack::count(&ledger, "alerter", "in"), 8);
    assert_eq!(stack.audited().await, 8);
    stack.stop().await;
}

#[tokio::test]
async fn a_repeated_request_is_queued_once() {
    let stack = Stack::start().await;
    let event = json!({"hostname": "sw1", "timestamp": "2026-11-20T10:00:00Z", "message": "LINK-DOWN once"});
    let mut ids = Vec::new();
    for repeated in [false, true, true] {
        let answer = stack.ingest().header("Idempotency-Key", "req-1").json(&event).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["repeated"].as_bool().unwrap_or(false), repeated, "{body}");
        ids.push(body["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
    let ledger = stack.settled().await;
    assert_eq!(Stack::count(&ledger, "alerter", "in"), 1);
    assert_eq!(stack.moog_stats().await["accepted"], 1);
    stack.stop().await;
}
