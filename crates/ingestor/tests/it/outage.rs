//! Redis full or away: senders are told, TCP waits, UDP counts, and nothing is stored twice.

use std::time::Duration;

use mutt_test_support::eventually;
use redis::AsyncCommands as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::app::{App, QUEUE, SOON, answer, good};

fn messages(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["message"].as_str().unwrap()).collect()
}

async fn fill(app: &App, entries: usize) {
    let filler: Vec<String> = (0..entries).map(|n| format!("filler {n}")).collect();
    let _: usize = app.redis.connection().await.lpush(QUEUE, filler).await.unwrap();
}

async fn drain(app: &App) {
    let _: usize = app.redis.connection().await.del(QUEUE).await.unwrap();
}

#[tokio::test]
async fn a_full_queue_is_503_with_its_depth_and_limit() {
    let app = App::with(&[("MAX_INGEST_QUEUE_SIZE", "1000")]).await;
    fill(&app, 1000).await;
    for body in [good(), json!([good(), good()])] {
        let response = app.post().json(&body).send().await.unwrap();
        assert_eq!(response.headers()["retry-after"], "5");
        let (status, body) = answer(response).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((&body["queue_depth"], &body["queue_limit"]), (&json!(1000), &json!(1000)));
        assert_eq!(body["type"], "urn:mutt:problem:queue-full");
    }
    assert_eq!(app.queue_length().await, 1000);
    drain(&app).await;
    assert_eq!(app.send(&good()).await.0, StatusCode::OK);
    assert_eq!(
        app.metric("mutt_ingest_requests_total{reason=\"queue_full\",status=\"fail\"}").await,
        Some(2.0)
    );
}

#[tokio::test]
async fn a_batch_that_only_fits_in_part_is_told_which_part() {
    let app = App::with(&[("MAX_INGEST_QUEUE_SIZE", "1000")]).await;
    let batch: Vec<Value> = (0..1200).map(|_| good()).collect();
    let (status, body) = app.send(&json!(batch)).await;
    assert_eq!(
        (status, &body["queued"], &body["refused"]),
        (StatusCode::MULTI_STATUS, &json!(1000), &json!(200))
    );
    let last = body["events"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["status"], &last["reason"]), (&json!(503), &json!("queue-full")));
    assert_eq!(app.queue_length().await, 1000);
}

#[tokio::test]
async fn with_redis_away_senders_are_told_to_repeat_and_then_served_again() {
    let mut app = App::start().await;
    assert_eq!(app.send(&good()).await.0, StatusCode::OK);
    app.redis.kill();
    let response = app.post().json(&good()).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "2");
    let (status, body) = answer(response).await;
    assert_eq!(
        (status, &body["type"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:mutt:problem:unavailable"))
    );
    assert!(!body.to_string().to_lowercase().contains("redis"), "inner matters stay inside: {body}");
    assert_eq!(app.get("/health/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.get("/health/live").await.0, StatusCode::OK);

    // A crowd is answered quickly, not each after its own patience.
    let started = tokio::time::Instant::now();
    let crowd = futures_util::future::join_all((0..50).map(|_| app.post().json(&good()).send())).await;
    assert!(crowd.into_iter().all(|answer| answer.unwrap().status() == StatusCode::SERVICE_UNAVAILABLE));
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());

    app.redis.restart().await;
    eventually("an event to be taken", SOON, async || app.send(&good()).await.0 == StatusCode::OK).await;
    assert_eq!(app.get("/health/ready").await.0, StatusCode::OK);
    assert_eq!(app.queue_length().await, app.ledger_in().await);
}

#[tokio::test]
async fn a_tcp_sender_waits_while_the_queue_is_full_and_loses_nothing() {
    let app = App::with(&[("MAX_INGEST_QUEUE_SIZE", "1000")]).await;
    fill(&app, 1000).await;
    let mut tcp = app.tcp().await;
    // More than the sockets and the buffer hold, so the sender has to wait.
    let padding = "x".repeat(900);
    let lines: Vec<String> = (0..30_000).map(|n| format!("<13>1 - h app - - - {n} {padding}\n")).collect();
    let sending = async {
        for line in &lines {
            tcp.write_all(line.as_bytes()).await.unwrap();
        }
        tcp.shutdown().await.unwrap();
    };
    tokio::pin!(sending);
    assert!(
        tokio::time::timeout(Duration::from_secs(2), &mut sending).await.is_err(),
        "the sender has to wait"
    );
    assert_eq!(app.queue_length().await, 1000);

    let mut seen = Vec::new();
    let reading = async {
        let mut conn = app.redis.connection().await;
        while seen.len() < lines.len() {
            let taken: Option<Vec<String>> = conn.rpop(QUEUE, std::num::NonZero::new(1000)).await.unwrap();
            let events = taken.unwrap_or_default();
            if events.is_empty() {
                tokio::task::yield_now().await;
            }
            seen.extend(events.iter().filter_map(|entry| serde_json::from_str::<Value>(entry).ok()));
        }
    };
    tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(sending, reading) }).await.unwrap();
    let numbers: Vec<usize> =
        messages(&seen).iter().map(|message| message.split(' ').next().unwrap().parse().unwrap()).collect();
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(0..lines.len()), "each line once");
}

#[tokio::test]
async fn syslog_survives_a_restart_of_redis_without_loss_or_repeat() {
    let mut app = App::start().await;
    let mut tcp = app.tcp().await;
    tcp.write_all(b"<13>1 - h app - - - before\n").await.unwrap();
    app.events(1).await;
    app.redis.kill();
    for n in 0..100 {
        tcp.write_all(format!("<13>1 - h app - - - tcp {n}\n").as_bytes()).await.unwrap();
        app.send_udp(&[format!("<13>1 - h app - - - udp {n}").as_bytes()]).await;
    }
    app.redis.restart().await;
    let events = app.events(201).await;
    let mut texts = messages(&events);
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 201);
    assert_eq!(app.ledger_in().await, 201);
}

#[tokio::test]
async fn udp_beyond_the_buffer_is_counted() {
    let app = App::with(&[("SYSLOG_UDP_BUFFER", "1MiB")]).await;
    app.redis.pause();
    let datagram = format!("<13>1 - h app - - - {}", "x".repeat(1000));
    let mut sent = 0;
    while sent < 4000 {
        app.send_udp(&[datagram.as_bytes(); 50]).await;
        sent += 50;
        tokio::task::yield_now().await;
    }
    let dropped = eventually("drops to be counted", SOON, async || {
        app.metric("mutt_ingest_udp_buffer_drops_total").await.filter(|dropped| *dropped > 0.0)
    })
    .await;
    assert!(dropped < f64::from(sent));
    app.redis.resume();
    // What was not dropped is stored: kept plus counted is what was sent.
    eventually("every datagram accounted for", SOON, async || {
        let stored = app.metric("mutt_ingest_events_total{source=\"syslog\"}").await.unwrap_or_default();
        let dropped = app.metric("mutt_ingest_udp_buffer_drops_total").await.unwrap_or_default();
        let kernel = app.metric("mutt_ingest_udp_kernel_drops_total").await.unwrap_or_default();
        let total = stored + dropped + kernel;
        if (total - f64::from(sent)).abs() < 0.5 {
            Ok(())
        } else {
            Err(format!("{stored} + {dropped} + {kernel}"))
        }
    })
    .await;
}
