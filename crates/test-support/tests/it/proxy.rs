//! The link that misbehaves on command.

use std::time::Duration;

use mutt_test_support::{Link, Proxy, RedisServer, eventually};
use redis::AsyncCommands as _;

async fn connect(proxy: &Proxy) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{}/", proxy.address()))?;
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_millis(500)))
        .set_response_timeout(Some(Duration::from_millis(200)));
    client.get_multiplexed_async_connection_with_config(&config).await
}

#[tokio::test]
async fn cut_closes_and_up_lets_new_connections_through() {
    let server = RedisServer::start().await;
    let proxy = Proxy::to_port(server.port()).await;
    let mut connection = connect(&proxy).await.expect("through the proxy");
    assert_eq!(connection.ping::<String>().await.expect("an answer"), "PONG");
    proxy.set(Link::Cut);
    assert!(connection.ping::<String>().await.is_err());
    assert!(connect(&proxy).await.is_err());
    proxy.set(Link::Up);
    eventually("a new connection", Duration::from_secs(5), async || connect(&proxy).await).await;
    let mut connection = connect(&proxy).await.expect("through the proxy");
    proxy.drop_connections();
    eventually("the old connection is gone", Duration::from_secs(5), async || {
        connection.ping::<String>().await.is_err()
    })
    .await;
    connect(&proxy).await.expect("dropping connections does not stop new ones");
}

#[tokio::test]
async fn a_held_answer_means_the_request_was_done() {
    let server = RedisServer::start().await;
    let proxy = Proxy::to_port(server.port()).await;
    let mut connection = connect(&proxy).await.expect("through the proxy");
    proxy.set(Link::AnswersHeld);
    let told = connection.incr::<_, _, u64>("count", 1).await;
    assert!(told.expect_err("no answer came").is_timeout());
    let mut direct = server.connection().await;
    eventually("the write arrived", Duration::from_secs(5), async || {
        direct.get::<_, Option<u64>>("count").await.expect("an answer").filter(|count| *count == 1)
    })
    .await;
}

#[tokio::test]
async fn frozen_passes_nothing_either_way() {
    let server = RedisServer::start().await;
    let proxy = Proxy::to_port(server.port()).await;
    let mut connection = connect(&proxy).await.expect("through the proxy");
    proxy.set(Link::Frozen);
    let told = connection.incr::<_, _, u64>("count", 1).await;
    assert!(told.expect_err("no answer came").is_timeout());
    let seen: Option<u64> = server.connection().await.get("count").await.expect("an answer");
    assert_eq!(seen, None);
    proxy.set(Link::Up);
    eventually("the held request arrives", Duration::from_secs(5), async || {
        connection.get::<_, Option<u64>>("count").await.ok().flatten()
    })
    .await;
}
