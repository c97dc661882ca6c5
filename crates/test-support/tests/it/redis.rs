//! The private Redis.

use std::time::Duration;

use mutt_test_support::{AppendFsync, Authority, RedisServer, ServerError, eventually};
use redis::AsyncCommands as _;

#[tokio::test]
async fn data_survives_a_kill_and_the_port_stays() {
    let mut server = RedisServer::start().await;
    let port = server.port();
    let _: () = server.connection().await.set("kept", "yes").await.expect("a write");
    server.kill();
    assert!(server.pid().is_none());
    server.restart().await;
    assert_eq!(server.port(), port);
    let kept: String = server.connection().await.get("kept").await.expect("the write is still there");
    assert_eq!(kept, "yes");
}

#[tokio::test]
async fn a_paused_server_answers_nothing_until_resumed() {
    let server = RedisServer::start().await;
    let mut connection = server.connection().await;
    server.pause();
    let asked = tokio::time::timeout(Duration::from_millis(200), connection.ping::<String>()).await;
    assert!(asked.is_err(), "a frozen server answered {asked:?}");
    server.resume();
    eventually("redis answers again", Duration::from_secs(5), async || connection.ping::<String>().await)
        .await;
}

#[tokio::test]
async fn options_reach_the_server() {
    let server = RedisServer::builder()
        .append_fsync(AppendFsync::EverySecond)
        .password("pass-word")
        .max_memory_bytes(64 << 20)
        .config("maxmemory-policy", "allkeys-lru")
        .start()
        .await
        .expect("it starts");
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", server.port())).expect("an address");
    let without = match client.get_multiplexed_async_connection().await {
        Ok(mut connection) => connection.ping::<String>().await,
        Err(error) => Err(error),
    };
    assert!(without.is_err(), "a server with a password took a client without one");
    let mut connection = server.connection().await;
    for (name, value) in
        [("appendfsync", "everysec"), ("maxmemory", "67108864"), ("maxmemory-policy", "allkeys-lru")]
    {
        let answer: (String, String) =
            redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut connection).await.expect("an answer");
        assert_eq!(answer.1, value, "{name}");
    }
}

#[tokio::test]
async fn tls_is_spoken_with_the_given_identity() {
    mutt_test_support::install_tls_provider();
    let authority = Authority::new();
    let server = RedisServer::builder().tls(authority.issue_for_loopback()).start().await.expect("it starts");
    let certificates =
        redis::TlsCertificates { client_tls: None, root_cert: Some(authority.pem().as_bytes().to_vec()) };
    let client = redis::Client::build_with_tls(server.url(), certificates).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a trusted certificate");
    assert_eq!(connection.ping::<String>().await.expect("an answer"), "PONG");
}

#[tokio::test]
async fn a_directory_in_use_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = RedisServer::builder().data_dir(dir.path()).start().await.expect("it starts");
    let second = RedisServer::builder().data_dir(dir.path()).start().await;
    let Err(ServerError::AlreadyRunning { pid, owner, .. }) = second else { panic!("got {second:?}") };
    assert_eq!((Some(pid), owner), (first.pid(), std::process::id()));
    first.stop().await;
    let again = RedisServer::builder().data_dir(dir.path()).start().await.expect("free again after a stop");
    drop(again);
}

#[tokio::test]
async fn a_bad_option_is_told_with_the_log() {
    let failed = RedisServer::builder().config("no-such-option", "1").start().await;
    let Err(error) = failed else { panic!("it started") };
    assert!(error.to_string().contains("no-such-option"), "{error}");
}
