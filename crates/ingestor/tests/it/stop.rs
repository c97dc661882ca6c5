//! A stop: what was taken is stored and answered, and nothing more is taken.

use mutt_core::runtime::Exit;
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::app::{App, SOON, answer, good};

#[tokio::test]
async fn what_was_sent_before_the_stop_is_stored() {
    let app = App::start().await;
    let mut tcp = app.tcp().await;
    tcp.write_all(b"<13>1 - h app - - - first\n").await.unwrap();
    app.events(1).await;
    for n in 0..500 {
        tcp.write_all(format!("<13>1 - h app - - - {n}\n").as_bytes()).await.unwrap();
        app.send_udp(&[format!("<13>1 - h app - - - {n}").as_bytes()]).await;
    }
    assert_eq!(app.stop().await, Exit::Clean);
    assert_eq!(app.queue_length().await, 1001);
    assert!(tokio::net::TcpStream::connect(app.tcp.unwrap()).await.is_err());
    assert!(tokio::net::TcpStream::connect(app.http).await.is_err());
}

#[tokio::test]
async fn a_request_in_flight_is_answered() {
    let app = App::start().await;
    let mut conn = app.redis.connection().await;
    let _: () = redis::cmd("CLIENT").arg(&["PAUSE", "60000", "WRITE"]).query_async(&mut conn).await.unwrap();
    let stopping = async {
        mutt_test_support::eventually("the enqueue to wait in Redis", SOON, async || {
            let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut conn).await.unwrap();
            clients.lines().any(|client| client.contains(" flags=b ") && client.contains(" cmd=evalsha "))
        })
        .await;
        app.lifecycle.drain("the test says so");
        let refused = async || tokio::net::TcpStream::connect(app.http).await.is_err();
        mutt_test_support::eventually("the listener to be gone", SOON, refused).await;
        let _: () = redis::cmd("CLIENT").arg("UNPAUSE").query_async(&mut conn).await.unwrap();
        app.lifecycle.wait().await
    };
    let (response, exit) = tokio::join!(app.post().json(&good()).send(), stopping);
    assert_eq!(exit, Exit::Clean);
    let (status, body) = answer(response.unwrap()).await;
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("queued")));
    assert_eq!(app.queue_length().await, 1);
}

#[tokio::test]
async fn a_redis_that_stays_away_cannot_hold_the_process() {
    let mut app = App::start().await;
    app.redis.kill();
    let mut tcp = app.tcp().await;
    tcp.write_all(b"<13>1 - h app - - - never stored\n").await.unwrap();
    tcp.shutdown().await.unwrap();
    app.send_udp(&[b"<13>1 - h app - - - never stored either"]).await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(15), app.stop()).await;
    assert_eq!(ended.unwrap(), Exit::Clean, "the loss is in the log, and no restart would help");
}
