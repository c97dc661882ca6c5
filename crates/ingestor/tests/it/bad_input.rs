//! What senders get wrong or do on purpose: each gets its clear answer or becomes an event with a reason.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    app::{App, KEY, answer, good},
    http::compressed,
};

#[tokio::test]
async fn without_a_good_key_nothing_is_read() {
    let app = App::start().await;
    let url = app.url("/ingest");
    let in_query = format!("{url}?api_key={KEY}");
    for (what, request) in [
        ("no key", app.client.post(&url)),
        ("wrong key", app.client.post(&url).header("x-api-key", "wrong")),
        ("empty key", app.client.post(&url).header("x-api-key", "")),
        ("key in the URL", app.client.post(&in_query)),
    ] {
        let response = request.json(&good()).send().await.unwrap();
        assert!(response.headers().contains_key("x-correlation-id"), "{what}");
        let (status, body) = answer(response).await;
        assert_eq!((status, &body["status"]), (StatusCode::UNAUTHORIZED, &json!("error")), "{what}");
        assert_eq!(body["type"], "urn:mutt:problem:unauthorized");
        assert!(body["message"].as_str().unwrap().contains("X-API-KEY"), "{what}");
        assert!(!body.to_string().contains(KEY));
    }
    assert_eq!(app.queue_length().await, 0);
    assert_eq!(app.metric("mutt_ingest_requests_total{reason=\"auth\",status=\"fail\"}").await, Some(4.0));
    assert_eq!(app.metric("mutt_ingest_latency_seconds_count").await, Some(0.0));

    // The body is 1 MB, and the answer comes before any of it was sent.
    let mut socket = tokio::net::TcpStream::connect(app.http).await.unwrap();
    let head = b"POST /ingest HTTP/1.1\r\nhost: x\r\nx-api-key: wrong\r\ncontent-length: 1000000\r\n\r\n";
    socket.write_all(head).await.unwrap();
    let mut start = [0; 12];
    socket.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 401");
}

#[tokio::test]
async fn bodies_that_cannot_be_taken_are_told_why() {
    let app = App::start().await;
    let truncated = compressed("gzip", &["-c"], good().to_string().as_bytes()).map(|whole| {
        let (start, _) = whole.split_at(whole.len() / 2);
        start.to_vec()
    });
    let bomb = compressed("gzip", &["-c"], &vec![b' '; 20 << 20]);
    let json = "application/json";
    for (what, kind, coding, body, expected) in [
        ("a 20 MB body", json, None, Some(vec![b' '; 20_000_000]), StatusCode::PAYLOAD_TOO_LARGE),
        ("a gzip bomb", json, Some("gzip"), bomb, StatusCode::PAYLOAD_TOO_LARGE),
        ("a truncated gzip", json, Some("gzip"), truncated, StatusCode::BAD_REQUEST),
        ("no gzip at all", json, Some("gzip"), Some(b"{}".to_vec()), StatusCode::BAD_REQUEST),
        ("an unknown coding", json, Some("br"), Some(b"{}".to_vec()), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            "a form",
            "application/x-www-form-urlencoded",
            None,
            Some(b"a=b".to_vec()),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        ("an XML", "application/xml", None, Some(b"<a/>".to_vec()), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("nothing", json, None, Some(Vec::new()), StatusCode::BAD_REQUEST),
        ("broken JSON", json, None, Some(b"{\"hostname\":".to_vec()), StatusCode::BAD_REQUEST),
        ("text", "text/plain", None, Some(b"hello\nworld\n".to_vec()), StatusCode::BAD_REQUEST),
        ("binary garbage", json, None, Some((0..=255).collect()), StatusCode::BAD_REQUEST),
        ("a JSON null", json, None, Some(b"null".to_vec()), StatusCode::BAD_REQUEST),
        ("a JSON number", json, None, Some(b"42".to_vec()), StatusCode::BAD_REQUEST),
    ] {
        let Some(body) = body else {
            println!("skipped: gzip is not installed");
            continue;
        };
        let mut request = app.post().header("content-type", kind);
        if let Some(coding) = coding {
            request = request.header("content-encoding", coding);
        }
        let (status, body) = answer(request.body(body).send().await.unwrap()).await;
        assert_eq!(status, expected, "{what}: {body}");
        assert_eq!(body["status"], "error", "{what}");
        assert_eq!(body["message"], body["detail"], "{what}");
        assert!(body["correlation_id"].is_string(), "{what}");
    }
    assert_eq!(app.queue_length().await, 0);
    assert_eq!(app.send(&good()).await.0, StatusCode::OK, "nothing else suffers");
}

#[tokio::test]
async fn an_announced_body_that_is_too_large_is_not_waited_for() {
    let app = App::start().await;
    let mut socket = tokio::net::TcpStream::connect(app.http).await.unwrap();
    let head = format!(
        "POST /ingest HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\ncontent-length: 20000000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    socket.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
}

#[tokio::test]
async fn events_that_cannot_be_queued_are_told_why() {
    let app = App::with(&[("INGEST_MAX_EVENT_BYTES", "2KiB")]).await;
    let with = |field: &str, value: Value| {
        let mut event = good();
        event[field] = value;
        event
    };
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    for (what, event, expected, reason) in [
        ("no fields", json!({}), StatusCode::BAD_REQUEST, "invalid-fields"),
        ("an empty message", with("message", json!("")), StatusCode::BAD_REQUEST, "invalid-fields"),
        ("a null time", with("timestamp", Value::Null), StatusCode::BAD_REQUEST, "invalid-fields"),
        ("a list as host", with("hostname", json!(["h"])), StatusCode::BAD_REQUEST, "invalid-fields"),
        (
            "a host name of 1000",
            with("hostname", json!("h".repeat(1000))),
            StatusCode::BAD_REQUEST,
            "invalid-fields",
        ),
        (
            "a large event",
            with("message", json!("x".repeat(3000))),
            StatusCode::PAYLOAD_TOO_LARGE,
            "event-too-large",
        ),
        ("a deep one", with("x", deep), StatusCode::PAYLOAD_TOO_LARGE, "too-deep"),
    ] {
        let (status, body) = app.send(&event).await;
        assert_eq!(status, expected, "{what}: {body}");
        assert_eq!(body["type"], format!("urn:mutt:problem:{reason}"), "{what}");
    }
    let (_, body) = app.send(&json!({"message": "m"})).await;
    assert_eq!(body["fields"], json!(["hostname", "timestamp"]));
    assert_eq!(app.queue_length().await, 0);
}

#[tokio::test]
async fn a_host_name_of_ten_thousand_characters_is_refused_by_http_and_cut_by_syslog() {
    let app = App::start().await;
    let host = "h".repeat(10_000);
    let mut event = good();
    event["hostname"] = json!(host);
    assert_eq!(app.send(&event).await.0, StatusCode::BAD_REQUEST);
    app.send_udp(&[format!("<13>1 - {host} app - - - x").as_bytes()]).await;
    let events = app.events(1).await;
    assert_eq!(events[0]["hostname"].as_str().unwrap().len(), 255);
    assert_eq!(events[0]["_flags"], json!(["hostname_cut", "timestamp_missing"]));
}

#[tokio::test]
async fn a_wrong_clock_costs_the_event_nothing_but_its_time() {
    let app = App::start().await;
    for time in ["1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
        let mut event = good();
        event["timestamp"] = json!(time);
        assert_eq!(app.send(&event).await.0, StatusCode::OK);
        app.send_udp(&[format!("<13>1 {time} h app - - - x").as_bytes()]).await;
    }
    for event in app.events(4).await {
        assert_eq!(event["_flags"], json!(["timestamp_out_of_range"]));
        assert_eq!(event["_event_time"], event["_received_at"]);
        assert!(event["timestamp"].as_str().unwrap().ends_with("-01-01T00:00:00Z"));
    }
}

#[tokio::test]
async fn binary_garbage_on_each_syslog_port_becomes_events_with_a_reason() {
    let app = App::start().await;
    let garbage: Vec<u8> = (1..=255).filter(|byte| *byte != b'\n').collect();
    app.send_udp(&[&garbage]).await;
    let mut tcp = app.tcp().await;
    tcp.write_all(&garbage).await.unwrap();
    tcp.shutdown().await.unwrap();
    for event in app.events(2).await {
        assert_eq!(event["hostname"], "127.0.0.1");
        assert_eq!(event["_reason"], "neither a priority nor a time at the front");
        assert!(event["_raw_base64"].is_string());
    }
    assert_eq!(app.metric("mutt_ingest_syslog_unparsed_total").await, Some(2.0));
}

#[tokio::test]
async fn a_line_of_a_megabyte_is_cut_and_its_neighbours_are_whole() {
    let app = App::start().await;
    let mut tcp = app.tcp().await;
    let line = [b"<13>1 - h app - - - ".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat();
    tcp.write_all(b"<13>1 - h app - - - before\n").await.unwrap();
    tcp.write_all(&line).await.unwrap();
    tcp.write_all(b"<13>1 - h app - - - after\n").await.unwrap();
    tcp.shutdown().await.unwrap();
    // Two streams store them, so no order is promised: the shortest are the neighbours.
    let mut events = app.events(3).await;
    events.sort_by_key(|event| event["message"].as_str().map_or(0, str::len));
    assert_eq!((&events[0]["message"], &events[1]["message"]), (&json!("after"), &json!("before")));
    assert_eq!(events[2]["_flags"], json!(["message_cut", "timestamp_missing"]));
    assert_eq!(events[2]["message"].as_str().unwrap().len(), (64 << 10) - "<13>1 - h app - - - ".len());
    assert_eq!(app.metric("mutt_ingest_syslog_cut_total").await, Some(1.0));
}

#[tokio::test]
async fn a_sender_that_never_finishes_is_cut_off_and_its_half_message_kept() {
    let app = App::with(&[("SYSLOG_TCP_FRAME_TIMEOUT", "1s")]).await;
    let mut slow = app.tcp().await;
    slow.write_all(b"100 <13>1 - h app - - - only hal").await.unwrap();
    let mut quick = app.tcp().await;
    quick.write_all(b"<13>1 - h app - - - quick\n").await.unwrap();
    let mut nothing = Vec::new();
    slow.read_to_end(&mut nothing).await.unwrap();
    let events = app.events(2).await;
    assert_eq!(events[0]["message"], "quick");
    assert_eq!(events[1]["message"], "only hal");
    assert_eq!(events[1]["_reason"], "the sender stopped in the middle of the message");
    // Silence between messages is nobody's fault.
    quick.write_all(b"<13>1 - h app - - - later\n").await.unwrap();
    app.events(3).await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let app = App::start().await;
    let (status, body) = app.get("/nowhere").await;
    assert_eq!((status, &body["type"]), (StatusCode::NOT_FOUND, &json!("urn:mutt:problem:not-found")));
    let (status, body) = app.get("/ingest").await;
    assert_eq!((status, &body["status"]), (StatusCode::METHOD_NOT_ALLOWED, &json!("error")));
    let wanted = app.post().header("accept", "application/problem+json").body("{").send().await.unwrap();
    assert_eq!(wanted.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn addresses_that_may_not_send_are_turned_away_everywhere() {
    let app = App::with(&[("INGEST_ALLOWED_SOURCES", "192.0.2.0/24")]).await;
    let (status, body) = app.send(&good()).await;
    assert_eq!((status, &body["type"]), (StatusCode::FORBIDDEN, &json!("urn:mutt:problem:forbidden")));
    app.send_udp(&[b"<13>1 - h app - - - x"]).await;
    let mut tcp = app.tcp().await;
    assert_eq!(tcp.read(&mut [0; 1]).await.unwrap_or_default(), 0, "the connection is closed");
    mutt_test_support::eventually("three refusals", crate::app::SOON, async || {
        app.metric("mutt_ingest_source_refused_total").await == Some(3.0)
    })
    .await;
    assert_eq!(app.queue_length().await, 0);
}

#[tokio::test]
async fn over_the_limit_a_sender_is_told_when_to_come_back() {
    let env = [("RATE_LIMIT_ENABLED", "true"), ("INGEST_MAX_RATE", "3"), ("INGEST_RATE_WINDOW", "60")];
    let app = App::with(&env).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let response = app.post().json(&good()).send().await.unwrap();
        let retry_after = response.headers().get("retry-after").cloned();
        let (status, body) = answer(response).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            let header: f64 = retry_after.unwrap().to_str().unwrap().parse().unwrap();
            assert_eq!(body["retry_after"].as_f64(), Some(header));
        }
        statuses.push(status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(app.metric("mutt_ingest_rate_limit_hits_total").await, Some(2.0));
    assert_eq!(app.queue_length().await, 3);
}
