//! Good requests and their answers.

use std::collections::HashSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{ADMIN_KEY, App, KEY, answer, good};

#[tokio::test]
async fn one_event_is_queued_before_it_is_answered() {
    let app = App::start().await;
    let response = app.post().header("x-correlation-id", "req-7").json(&good()).send().await.unwrap();
    assert_eq!(response.headers()["x-correlation-id"], "req-7");
    assert_eq!(response.headers()["x-api-version"], "2.5");
    let (status, body) = answer(response).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        json!({"status": "queued", "correlation_id": "req-7", "queue_depth": 1, "id": body["id"]})
    );
    let events = app.all_events().await;
    assert_eq!(events[0]["_id"], body["id"]);
    assert_eq!(events[0]["_correlation_id"], "req-7");
    assert_eq!(events[0]["_source"], "http");
    assert_eq!(events[0]["_peer"], "127.0.0.1");
    assert_eq!(events[0]["hostname"], "sw1");
    assert_eq!(app.ledger_in().await, 1);
}

#[tokio::test]
async fn an_event_without_a_correlation_id_is_known_by_its_own() {
    let app = App::start().await;
    let response = app.post().json(&good()).send().await.unwrap();
    let header = response.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    let (_, body) = answer(response).await;
    assert_eq!((&body["id"], &body["correlation_id"]), (&json!(header), &json!(header)));
    assert_eq!(app.all_events().await[0]["_correlation_id"], json!(header));
}

#[tokio::test]
async fn every_path_and_form_is_taken() {
    let app = App::start().await;
    for path in ["/ingest", "//ingest", "/api/v1/ingest", "/api/v2/ingest"] {
        let sent =
            app.client.post(app.url(path)).header("x-api-key", KEY).json(&good()).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::OK, "{path}");
    }
    let lines = format!("{}\n{}\n{}", good(), good(), good());
    for (kind, body) in [
        ("application/json; charset=utf-8", good().to_string()),
        ("application/json", lines.clone()),
        ("application/x-ndjson", lines.clone()),
        ("text/plain", lines),
        ("application/json", json!([good(), good()]).to_string()),
    ] {
        let (status, body) =
            answer(app.post().header("content-type", kind).body(body).send().await.unwrap()).await;
        assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("queued")), "{kind}: {body}");
    }
    let events = app.events(4 + 1 + 3 * 3 + 2).await;
    let ids: HashSet<&str> = events.iter().map(|event| event["_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    let app = App::start().await;
    for (coding, program, arguments) in [("gzip", "gzip", ["-c"]), ("zstd", "zstd", ["-qc"])] {
        let Some(body) = compressed(program, &arguments, good().to_string().as_bytes()) else {
            println!("skipped: {program} is not installed");
            continue;
        };
        let sent = app.post().header("content-encoding", coding).body(body).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::OK, "{coding}");
    }
}

/// What a real compressor makes of `plain`; `None` when it is not installed.
pub(crate) fn compressed(program: &str, arguments: &[&str], plain: &[u8]) -> Option<Vec<u8>> {
    use std::{io::Write as _, process};
    let mut child = process::Command::new(program)
        .args(arguments)
        .stdin(process::Stdio::piped())
        .stdout(process::Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let plain = plain.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&plain));
    let output = child.wait_with_output().ok()?;
    writer.join().ok()?.ok()?;
    output.status.success().then_some(output.stdout)
}

#[tokio::test]
async fn several_events_get_a_verdict_each() {
    let app = App::start().await;
    let batch = json!([good(), {"hostname": "h"}, 42, good()]);
    let (status, body) = app.send(&batch).await;
    assert_eq!(status, StatusCode::MULTI_STATUS);
    assert_eq!(
        (&body["status"], &body["queued"], &body["refused"]),
        (&json!("partial"), &json!(2), &json!(2))
    );
    let events = body["events"].as_array().unwrap();
    assert_eq!(events.iter().map(|event| &event["index"]).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(events[1]["status"], 400);
    assert_eq!(events[1]["message"], "missing or empty: message, timestamp");
    assert_eq!(events[1]["fields"], json!(["message", "timestamp"]));
    assert_eq!(events[2]["reason"], "not-an-object");
    let queued = app.all_events().await;
    assert_eq!([&queued[0]["_id"], &queued[1]["_id"]], [&events[0]["id"], &events[3]["id"]]);

    let (status, body) = app.send(&json!([{"hostname": "h"}])).await;
    assert_eq!((status, &body["status"]), (StatusCode::MULTI_STATUS, &json!("refused")));
    let (status, body) = app.send(&json!([])).await;
    assert_eq!((status, &body["queued"]), (StatusCode::OK, &json!(0)));
}

#[tokio::test]
async fn a_large_batch_keeps_its_order() {
    let app = App::start().await;
    let batch: Vec<Value> = (0..2_345)
        .map(|n| {
            let mut event = good();
            event["message"] = json!(format!("event {n}"));
            event
        })
        .collect();
    let (status, body) = app.send(&json!(batch)).await;
    assert_eq!((status, &body["queued"]), (StatusCode::OK, &json!(2_345)));
    assert_eq!(body["queue_depth"], 2_345);
    for (n, event) in app.events(2_345).await.iter().enumerate() {
        assert_eq!(event["message"], format!("event {n}"));
        assert_eq!(event["_id"], body["events"][n]["id"]);
    }
}

#[tokio::test]
async fn a_repeated_key_queues_nothing_and_names_the_first_event() {
    let app = App::start().await;
    let send = async |body: Value| {
        answer(app.post().header("idempotency-key", "batch-1").json(&body).send().await.unwrap()).await.1
    };
    let first = send(json!([good(), good()])).await;
    let again = send(json!([good(), good(), good()])).await;
    for index in [0, 1] {
        assert_eq!(again["events"][index]["id"], first["events"][index]["id"]);
        assert_eq!(again["events"][index]["repeated"], true);
    }
    assert_eq!(again["events"][2].get("repeated"), None);
    assert_eq!(app.queue_length().await, 3);

    let mut event = good();
    event["event_id"] = json!(4711);
    let (_, first) = app.send(&event).await;
    let (status, again) = app.send(&event).await;
    assert_eq!((status, &again["id"], &again["repeated"]), (StatusCode::OK, &first["id"], &json!(true)));
    event["hostname"] = json!("another");
    assert_eq!(app.send(&event).await.1.get("repeated"), None);
    assert_eq!((app.queue_length().await, app.ledger_in().await), (5, 5));
    assert_eq!(app.metric("mutt_ingest_events_repeated_total").await, Some(3.0));
    assert_eq!(app.metric("mutt_ingest_events_total{source=\"http\"}").await, Some(5.0));
}

#[tokio::test]
async fn many_requests_at_once_are_each_stored_once() {
    let app = App::start().await;
    let requests = (0..400).map(|n| {
        let mut event = good();
        event["message"] = json!(n.to_string());
        let sent = app.post().json(&event).send();
        async move { answer(sent.await.unwrap()).await }
    });
    let answers = futures_util::future::join_all(requests).await;
    let ids: HashSet<String> = answers
        .into_iter()
        .map(|(status, body)| {
            assert_eq!(status, StatusCode::OK);
            body["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let events = app.events(400).await;
    assert_eq!(ids, events.iter().map(|event| event["_id"].as_str().unwrap().to_owned()).collect());
    let messages: HashSet<&str> = events.iter().map(|event| event["message"].as_str().unwrap()).collect();
    assert_eq!(messages.len(), 400);
    assert_eq!(app.metric("mutt_ingest_requests_total{reason=\"\",status=\"success\"}").await, Some(400.0));
    assert_eq!(app.metric("mutt_ingest_latency_seconds_count").await, Some(400.0));
}

#[tokio::test]
async fn a_trace_is_carried_on() {
    let app = App::start().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for header in [parent, "nonsense"] {
        app.post().header("traceparent", header).json(&good()).send().await.unwrap();
    }
    let events = app.events(2).await;
    assert_eq!(events[0]["_traceparent"], parent);
    assert_eq!(events[1].get("_traceparent"), None);
}

#[tokio::test]
async fn everybody_may_ask_how_it_is_and_only_administrators_how_it_is_set() {
    let app = App::start().await;
    for path in ["/health", "/health/ready"] {
        let (status, body) = app.get(path).await;
        let expected =
            json!({"status": "healthy", "service": "mutt-ingestor", "version": "2.3", "redis": "connected"});
        assert_eq!((status, body), (StatusCode::OK, expected), "{path}");
    }
    assert_eq!(app.get("/health/live").await.0, StatusCode::OK);
    let (_, index) = app.get("/").await;
    assert_eq!(index["service"], "mutt-ingestor");

    let config = async |key: &str| {
        answer(app.client.get(app.url("/admin/config")).header("x-api-key", key).send().await.unwrap()).await
    };
    assert_eq!(config(KEY).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(app.get("/admin/config").await.0, StatusCode::UNAUTHORIZED);
    let (status, shown) = config(ADMIN_KEY).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(shown["static"]["INGEST_MAX_BODY_BYTES"], "10MiB");
    assert_eq!(shown["dynamic_config_enabled"], false);
    assert_eq!(shown["sender_keys"], json!(["default"]));
    assert!(!shown.to_string().contains(KEY) && !shown.to_string().contains(ADMIN_KEY));
}

#[tokio::test]
async fn the_depth_of_the_queue_is_sampled() {
    let app = App::start().await;
    app.send(&json!([good(), good(), good()])).await;
    mutt_test_support::eventually("the gauge", crate::app::SOON, async || {
        app.metric("mutt_ingest_queue_depth").await == Some(3.0)
    })
    .await;
}
