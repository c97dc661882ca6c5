//! The original's demo data, where it is there: every event goes through, by HTTP and as syslog.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::app::App;

fn corpus(name: &str) -> Option<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) => {
            println!("skipped: {}: {error}", path.display());
            None
        }
    }
}

#[tokio::test]
async fn the_demo_events_go_through_by_http() {
    let Some(events) = corpus("demo_syslog_events.json") else { return };
    let app = App::start().await;
    let (status, body) = app.send(&json!(events)).await;
    assert_eq!((status, &body["queued"]), (StatusCode::OK, &json!(events.len())));
    for (sent, queued) in events.iter().zip(app.events(events.len()).await) {
        for field in ["hostname", "message", "timestamp", "source_type"] {
            assert_eq!(queued[field], sent[field]);
        }
        assert!(queued["syslog_severity"].as_u64().is_some_and(|severity| severity <= 7), "{sent}");
    }
}

#[tokio::test]
async fn the_demo_traps_go_through_once_they_have_host_and_message() {
    let Some(traps) = corpus("demo_snmp_traps.json") else { return };
    let app = App::start().await;
    let (status, body) = app.send(&json!(traps)).await;
    assert_eq!(
        (status, &body["queued"]),
        (StatusCode::MULTI_STATUS, &json!(0)),
        "they lack host and message"
    );
    let whole: Vec<Value> = traps
        .iter()
        .map(|trap| {
            let mut event = trap.clone();
            event["hostname"] = trap["source_ip"].clone();
            event["message"] = json!(trap["variables"].to_string());
            event["trap_oid"] = json!(format!(".{}", trap["trap_oid"].as_str().unwrap()));
            event
        })
        .collect();
    let lines: Vec<String> = whole.iter().map(Value::to_string).collect();
    let sent = app
        .post()
        .header("content-type", "application/x-ndjson")
        .body(lines.join("\n"))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), StatusCode::OK);
    for (sent, queued) in traps.iter().zip(app.events(traps.len()).await) {
        assert_eq!(queued["trap_oid"], sent["trap_oid"]);
        assert_eq!(queued["variables"], sent["variables"]);
        assert!(queued["syslog_severity"].is_u64(), "{}", sent["severity"]);
    }
}

#[tokio::test]
async fn the_demo_events_go_through_as_syslog() {
    let Some(events) = corpus("demo_syslog_events.json") else { return };
    let app = App::start().await;
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let mut tcp = app.tcp().await;
    for event in &events {
        let line = format!(
            "<189>1 - {} {} - - - {}\n",
            text(event, "hostname"),
            text(event, "source_type"),
            text(event, "message")
        );
        tcp.write_all(line.as_bytes()).await.unwrap();
    }
    tcp.shutdown().await.unwrap();
    // Two streams may store their batches in either order.
    let pairs = |events: &[Value]| {
        let mut pairs: Vec<_> =
            events.iter().map(|event| (text(event, "hostname"), text(event, "message"))).collect();
        pairs.sort();
        pairs
    };
    assert_eq!(pairs(&app.events(events.len()).await), pairs(&events));
}
