//! Whatever is thrown at the doors gets its clear answer or becomes an event with a reason, and the rest goes on.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::stack::Stack;

const AT: &str = "2026-11-20T10:00:00Z";

/// Posts these bytes and returns the status and the body.
async fn post(stack: &Stack, headers: &[(&str, &str)], body: Vec<u8>) -> (StatusCode, Value) {
    let mut request = stack.ingest();
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body).send().await.expect("an answer");
    let status = answer.status();
    (status, answer.json().await.expect("a body in JSON"))
}

#[tokio::test]
async fn http_says_clearly_what_it_refuses() {
    let stack = Stack::start().await;
    let json_type = ("Content-Type", "application/json");
    let good = json!({"hostname": "h", "timestamp": AT, "message": "m"});

    let url = stack.about("ingest_url");
    for request in [stack.http.post(url), stack.http.post(url).header("X-API-KEY", "wrong")] {
        assert_eq!(request.json(&good).send().await.unwrap().status(), 401);
    }
    let in_query = format!("{url}?api_key={}", stack.about("ingest_api_key"));
    assert!(stack.http.post(in_query).json(&good).send().await.unwrap().status().is_client_error());

    let mut huge = br#"{"hostname":"h","timestamp":"2026-11-20T10:00:00Z","message":""#.to_vec();
    huge.extend(std::iter::repeat_n(b'x', 20 << 20));
    huge.extend_from_slice(b"\"}");
    // The server may close while the client still writes: then there is no answer to read, which is clear enough.
    if let Ok(answer) = stack.ingest().header(json_type.0, json_type.1).body(huge).send().await {
        assert_eq!(answer.status(), 413);
    }

    let truncated_gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV\xca\xc8/.".to_vec();
    for (headers, body, status) in [
        (vec![json_type, ("Content-Encoding", "gzip")], truncated_gzip, 400),
        (vec![json_type, ("Content-Encoding", "br")], b"x".to_vec(), 415),
        (vec![json_type], b"[1,2,3]".to_vec(), 207),
        (vec![json_type], b"\"text\"".to_vec(), 400),
        (vec![json_type], b"null".to_vec(), 400),
        (vec![json_type], b"{\"hostname\":".to_vec(), 400),
        (vec![json_type], b"".to_vec(), 400),
        (vec![json_type], b"\xff\xfe\x00garbage".to_vec(), 400),
        (vec![json_type], br#"{"hostname":"h","message":""}"#.to_vec(), 400),
        (vec![("Content-Type", "text/html")], b"<html>".to_vec(), 415),
    ] {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let (found, answer) = post(&stack, &headers, body).await;
        assert_eq!(found.as_u16(), status, "{shown}: {answer}");
        assert!(answer["message"].is_string() || answer["events"].is_array(), "{shown}: {answer}");
    }
    assert_eq!(stack.ingest().json(&good).send().await.unwrap().status(), 200);
    let ledger = stack.settled().await;
    assert_eq!(Stack::count(&ledger, "alerter", "in"), 1, "only the good one came in: {ledger}");
    stack.stop().await;
}

#[tokio::test]
async fn odd_events_become_events_with_a_reason() {
    let stack = Stack::start().await;
    let event =
        |host: &str, at: &str, text: &str| json!({"hostname": host, "timestamp": at, "message": text});
    let events = [
        event("old", "1970-01-01T00:00:00Z", "dated 1970"),
        event("new", "2099-01-01T00:00:00Z", "dated 2099"),
    ];
    for event in &events {
        let answer = stack.ingest().json(event).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    let long = "h".repeat(10_000);
    let refused = stack.ingest().json(&event(&long, AT, "a long name")).send().await.unwrap();
    assert_eq!(refused.status(), 400, "a program can mend its host name, a device cannot");

    let target = stack.about("syslog");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let garbage: Vec<u8> = (0..=255).cycle().take(1400).collect();
    for datagram in [&garbage[..], b"\0\x01\x02", b"<999>x", b"no priority at all", b"<13>caf\xe9 latin-1"] {
        socket.send_to(datagram, target).await.unwrap();
    }
    let mut stream = TcpStream::connect(target).await.unwrap();
    let megabyte = [b"<13>".as_slice(), &b"y".repeat(1 << 20), b"\n"].concat();
    stream.write_all(&megabyte).await.unwrap();
    stream.write_all(format!("<13>1 {AT} {long} app - - - a long name\n").as_bytes()).await.unwrap();
    stream.write_all(b"<13>Nov 20 10:00:00 h app: after the long line\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await.unwrap().unwrap();

    stack.settled().await;
    let flags: Vec<(String, String)> = sqlx::query_as(
        "select left(hostname, 20), coalesce((raw_message::jsonb -> '_flags')::text, '') from event_audit_log",
    )
    .fetch_all(&stack.audit)
    .await
    .unwrap();
    let with = |flag: &str| flags.iter().filter(|(_, flags)| flags.contains(flag)).count();
    assert_eq!(with("timestamp_out_of_range"), 2, "{flags:?}");
    assert_eq!(with("hostname_cut"), 1, "{flags:?}");
    assert!(with("not_utf8") >= 2, "{flags:?}");
    assert!(with("message_cut") >= 1, "{flags:?}");
    assert!(flags.len() >= 2 + 5 + 3, "nothing was dropped: {flags:?}");
    let after: i64 = sqlx::query_scalar(
        "select count(*) from event_audit_log where raw_message like '%after the long line%'",
    )
    .fetch_one(&stack.audit)
    .await
    .unwrap();
    assert_eq!(after, 1, "the stream went on behind the long line");
    stack.stop().await;
}

#[tokio::test]
async fn a_sender_that_never_finishes_holds_nobody_up() {
    let stack = Stack::start().await;
    let mut slow = TcpStream::connect(stack.about("syslog")).await.unwrap();
    slow.write_all(b"4096 <13>this frame is never").await.unwrap();
    let mut half = TcpStream::connect(
        stack.about("ingest_url").trim_start_matches("http://").trim_end_matches("/ingest"),
    )
    .await
    .unwrap();
    half.write_all(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").await.unwrap();
    let report = stack.mutt_json(&["send", "tcp", "-n", "500"]).await;
    assert_eq!(report["sent"], 500);
    let report = stack.mutt_json(&["send", "http", "-n", "500"]).await;
    assert_eq!(report["accepted"], 500, "{report}");
    let ledger = stack.settled().await;
    assert!(Stack::count(&ledger, "alerter", "in") >= 1000);
    drop((slow, half));
    stack.stop().await;
}

#[tokio::test]
async fn garbage_on_the_http_ports_harms_nothing() {
    let stack = Stack::start().await;
    let urls = ["ingestor", "alerter", "forwarder", "console"].map(|service| stack.metrics_url(service));
    for url in &urls {
        let address = url.trim_start_matches("http://").trim_end_matches("/metrics");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let noise: Vec<u8> = (0..=255).rev().cycle().take(100_000).collect();
        // It may be cut off in the middle, as it should.
        let _cut_off = stream.write_all(&noise).await;
    }
    for url in &urls {
        let answer = stack.http.get(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
    }
    stack.stop().await;
}
