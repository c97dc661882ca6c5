//! `mutt send` against receivers that note what they get.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use mutt_test_support::eventually;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UdpSocket};

use crate::{err, mutt, out};

fn report(output: &std::process::Output) -> Value {
    serde_json::from_str(&out(output)).unwrap_or_else(|_| panic!("no report: {}", err(output)))
}

#[tokio::test]
async fn udp_sends_one_datagram_per_event_at_the_wanted_rate() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = socket.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let words = ["send", "udp", "--to", &target, "-n", "40", "--rate", "100", "--tag", "--json"];
    let sending = mutt(&folder, &words).output();
    let receiving = async {
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        while lines.len() < 40 {
            let length = socket.recv(&mut buffer).await.unwrap();
            lines.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        lines
    };
    let (output, lines) = tokio::join!(sending, tokio::time::timeout(Duration::from_secs(30), receiving));
    let lines = lines.expect("40 datagrams");
    assert!(
        lines.iter().all(|line| line.starts_with('<') && line.contains(".campus.example.com ")),
        "{lines:?}"
    );
    let references: std::collections::HashSet<_> =
        lines.iter().filter_map(|line| line.rsplit_once(" ref=")).collect();
    assert_eq!(references.len(), 40);
    let report = report(&output.unwrap());
    assert_eq!((report["sent"].as_u64(), report["failed"].as_u64()), (Some(40), Some(0)));
    // 40 events at 100 a second: the last is due after 0.39 s.
    assert!(report["seconds"].as_f64().unwrap() > 0.3, "{report}");
}

#[tokio::test]
async fn tcp_frames_every_event_and_waits_until_all_is_read() {
    for (framing, first) in [("newline", "<"), ("octets", "1")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let folder = tempfile::tempdir().unwrap();
        let words = [
            "send",
            "tcp",
            "--to",
            &target,
            "-n",
            "500",
            "--framing",
            framing,
            "--format",
            "rfc3164",
            "--json",
        ];
        let sending = mutt(&folder, &words).output();
        let receiving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.unwrap();
            String::from_utf8(text).unwrap()
        };
        let (output, text) = tokio::join!(sending, receiving);
        assert_eq!(report(&output.unwrap())["sent"], 500);
        assert!(text.starts_with(first), "{framing}: {text:.60}");
        if framing == "newline" {
            assert_eq!(text.lines().count(), 500);
        } else {
            assert_eq!(count_octet_frames(&text), 500);
        }
    }
}

fn count_octet_frames(mut text: &str) -> usize {
    let mut frames = 0;
    while let Some((length, rest)) = text.split_once(' ') {
        text = rest.get(length.parse::<usize>().expect("a length")..).expect("a whole frame");
        frames += 1;
    }
    frames
}

/// An ingest that says "later" to each request first, and then refuses every event of `bad-host`.
#[derive(Clone, Default)]
struct Ingest {
    keys: Arc<Mutex<Vec<String>>>,
    taken: Arc<Mutex<Vec<Value>>>,
}

async fn ingest(State(state): State<Ingest>, headers: HeaderMap, body: Bytes) -> Response {
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if header("x-api-key") != "good" {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({"message": "wrong key"}))).into_response();
    }
    let key = header("idempotency-key");
    let first_try = {
        let mut keys = state.keys.lock().expect("not poisoned");
        keys.push(key.clone());
        keys.iter().filter(|known| **known == key).count() == 1
    };
    if first_try {
        let later = [("retry-after", "0")];
        return (StatusCode::SERVICE_UNAVAILABLE, later, axum::Json(json!({"message": "queue full"})))
            .into_response();
    }
    let events: Vec<Value> = serde_json::Deserializer::from_slice(&body)
        .into_iter()
        .map(|event| event.expect("an event"))
        .collect();
    let results: Vec<Value> = events
        .iter()
        .enumerate()
        .map(|(index, event)| match event["hostname"].as_str() {
            Some("bad-host") => json!({"index": index, "status": 400, "message": "unknown host"}),
            _ => json!({"index": index, "id": format!("id-{index}")}),
        })
        .collect();
    state.taken.lock().expect("not poisoned").extend(events);
    (StatusCode::MULTI_STATUS, axum::Json(json!({"events": results}))).into_response()
}

async fn start_ingest() -> (Ingest, String, tokio::task::JoinSet<()>) {
    let state = Ingest::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/ingest", listener.local_addr().expect("a bound address"));
    let router = axum::Router::new().route("/ingest", post(ingest)).with_state(state.clone());
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.expect("serves") });
    (state, url, server)
}

#[tokio::test]
async fn http_repeats_what_was_put_off_and_keeps_a_receipt_for_each_event() {
    let (state, url, _server) = start_ingest().await;
    let folder = tempfile::tempdir().unwrap();
    let events = r#"[{"hostname":"good-host","message":"a","syslog_severity":"Warning","rack":7},
                     {"hostname":"bad-host","message":"b"},{"hostname":"good-host","message":"c"}]"#;
    std::fs::write(folder.path().join("events.json"), events).unwrap();
    let words = ["send", "http", "events.json", "--url", &url, "--api-key", "good", "--batch", "2", "--json"];
    let output = mutt(&folder, &words).args(["--receipts", "receipts.ndjson"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "one event was refused: {}", err(&output));
    let report = report(&output);
    assert_eq!(
        (&report["accepted"], &report["refused"], &report["failed"], &report["retries"]),
        (&json!(2), &json!(1), &json!(0), &json!(2))
    );
    assert_eq!(report["reasons"]["unknown host"], 1);
    let taken = state.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 3);
    assert_eq!((&taken[0]["rack"], &taken[0]["syslog_severity"]), (&json!(7), &json!("Warning")));
    assert!(taken.iter().all(|event| event["timestamp"].as_str().is_some_and(|at| at.ends_with('Z'))));
    let receipts = std::fs::read_to_string(folder.path().join("receipts.ndjson")).unwrap();
    let receipts: Vec<Value> = receipts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let statuses: Vec<_> = receipts.iter().map(|receipt| receipt["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["accepted", "refused", "accepted"]);
    assert_eq!(receipts[0]["id"], "id-0");
}

#[tokio::test]
async fn a_wrong_key_refuses_everything_at_once() {
    let (_state, url, _server) = start_ingest().await;
    let folder = tempfile::tempdir().unwrap();
    let words = ["send", "http", "--url", &url, "--api-key", "bad", "-n", "10", "--batch", "5"];
    let output = mutt(&folder, &words).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("10 refused"), "{}", out(&output));
    assert!(out(&output).contains("401: wrong key"), "{}", out(&output));
}

#[tokio::test]
async fn an_interrupt_ends_the_run_with_a_report() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = socket.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let words = ["send", "udp", "--to", &target, "-n", "100000", "--rate", "50", "--json"];
    let child = mutt(&folder, &words).stdout(std::process::Stdio::piped()).spawn().unwrap();
    eventually("the first datagram", Duration::from_secs(20), async || {
        let mut buffer = [0; 2048];
        socket.recv(&mut buffer).await.map(drop)
    })
    .await;
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::INT)
        .unwrap();
    let output =
        tokio::time::timeout(Duration::from_secs(20), child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1), "not all was sent");
    let sent = report(&output)["sent"].as_u64().unwrap();
    assert!((1..100_000).contains(&sent), "{sent}");
}
