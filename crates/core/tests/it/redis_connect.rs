//! Connections to a real Redis: passwords that change under way, TLS, outages.

use std::time::Duration;

use mutt_core::redis::{ConnectError, Connector, connect, wait_until_ready, weak_settings};
use mutt_core::runtime::{Lifecycle, StartError};
use mutt_core::secrets::Secrets;
use mutt_core::settings::redis::RedisSettings;
use mutt_test_support::{AppendFsync, Authority, Link, Proxy, RedisServer, eventually, install_tls_provider};
use redis::AsyncCommands as _;

const SOON: Duration = Duration::from_secs(20);

fn at(port: u16) -> RedisSettings {
    RedisSettings {
        host: "127.0.0.1".to_owned(),
        port,
        database: 0,
        tls: false,
        ca_cert_path: None,
        max_connections: 20,
        live_settings: true,
    }
}

fn no_secrets() -> Secrets {
    Secrets::fixed([])
}

async fn acl(server: &mut redis::aio::MultiplexedConnection, rule: &str) {
    let _: () = redis::cmd("ACL")
        .arg(&["SETUSER", "default", rule])
        .query_async(server)
        .await
        .expect("an ACL change");
}

/// Ends all connections, as a restart of Redis would.
async fn disconnect_all(server: &mut redis::aio::MultiplexedConnection) {
    let _: i64 = redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .query_async(server)
        .await
        .expect("connections end");
}

#[tokio::test]
async fn no_password_is_fine_where_redis_wants_none() {
    let server = RedisServer::start().await;
    let mut connection = connect(&at(server.port()), &no_secrets()).await.expect("it connects");
    assert_eq!(connection.ping::<String>().await.expect("an answer"), "PONG");
    // A password that is set early does no harm either.
    let secrets = Secrets::fixed([("REDIS_PASS_CURRENT", "early")]);
    connect(&at(server.port()), &secrets).await.expect("it connects");
}

#[tokio::test]
async fn next_is_tried_only_when_current_is_refused() {
    let server = RedisServer::builder().password("new").start().await.expect("it starts");
    for good in [
        vec![("REDIS_PASS_CURRENT", "new")],
        vec![("REDIS_PASS", "new")],
        vec![("REDIS_PASS_CURRENT", "old"), ("REDIS_PASS_NEXT", "new")],
        vec![("REDIS_PASS_NEXT", "new")],
    ] {
        let mut connection = connect(&at(server.port()), &Secrets::fixed(good)).await.expect("it connects");
        assert_eq!(connection.ping::<String>().await.expect("an answer"), "PONG");
    }
    let both_wrong = Secrets::fixed([("REDIS_PASS_CURRENT", "s3cret-a"), ("REDIS_PASS_NEXT", "s3cret-b")]);
    let error = connect(&at(server.port()), &both_wrong).await.expect_err("both are wrong");
    assert!(matches!(error, ConnectError::Refused { .. }) && !error.is_transient(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("REDIS_PASS_CURRENT, REDIS_PASS_NEXT") && !text.contains("s3cret"), "{text}");
    let error = connect(&at(server.port()), &no_secrets()).await.expect_err("none is not enough");
    assert!(error.to_string().contains("REDIS_PASS_CURRENT (or REDIS_PASS)"), "{error}");
}

#[tokio::test]
async fn a_rotation_needs_no_restart() {
    let server = RedisServer::builder().password("old").start().await.expect("it starts");
    let mut admin = server.connection().await;
    let (writer, secrets) = Secrets::adjustable([("REDIS_PASS_CURRENT", "old")]);
    let mut connection = connect(&at(server.port()), &secrets).await.expect("it connects");
    // The documented order: write NEXT, let Redis accept both, promote, retire the old one.
    writer.replace([("REDIS_PASS_CURRENT", "old"), ("REDIS_PASS_NEXT", "new")]);
    acl(&mut admin, ">new").await;
    disconnect_all(&mut admin).await;
    eventually("in with the old one", SOON, async || connection.ping::<String>().await).await;
    acl(&mut admin, "<old").await;
    disconnect_all(&mut admin).await;
    eventually("in with the new one, still called NEXT", SOON, async || connection.ping::<String>().await)
        .await;
    writer.replace([("REDIS_PASS_CURRENT", "new")]);
    disconnect_all(&mut admin).await;
    eventually("in with the new one", SOON, async || connection.ping::<String>().await).await;
}

#[tokio::test]
async fn a_refused_reconnection_is_tried_again_until_the_password_is_known() {
    let server = RedisServer::builder().password("old").start().await.expect("it starts");
    let mut admin = server.connection().await;
    let (writer, secrets) = Secrets::adjustable([("REDIS_PASS_CURRENT", "old")]);
    let mut connection = connect(&at(server.port()), &secrets).await.expect("it connects");
    // The wrong order: Redis is changed first.
    acl(&mut admin, ">new").await;
    acl(&mut admin, "<old").await;
    disconnect_all(&mut admin).await;
    let mut refusals = 0;
    eventually("reconnections are refused", SOON, async || {
        let error = connection.ping::<String>().await.err()?;
        refusals += usize::from(error.to_string().contains("none of the passwords"));
        (refusals >= 2).then_some(())
    })
    .await;
    writer.replace([("REDIS_PASS_CURRENT", "new")]);
    eventually("in again", SOON, async || connection.ping::<String>().await).await;
}

#[tokio::test]
async fn a_full_or_absent_redis_is_away_and_has_not_refused_the_password() {
    let server =
        RedisServer::builder().password("good").config("maxclients", "1").start().await.expect("it starts");
    let taken = server.connection().await;
    let secrets = Secrets::fixed([("REDIS_PASS_CURRENT", "good"), ("REDIS_PASS_NEXT", "bad")]);
    let error = connect(&at(server.port()), &secrets).await.expect_err("it is full");
    assert!(error.is_transient(), "{error:?}");
    drop(taken);
    let proxy = Proxy::to_port(server.port()).await;
    proxy.set(Link::Cut);
    let error = connect(&at(proxy.port()), &secrets).await.expect_err("it is away");
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_start_waits_for_redis_and_not_for_ever() {
    let mut server = RedisServer::start().await;
    let connector = Connector::new(&at(server.port()), &no_secrets()).expect("settings");
    server.kill();
    let lifecycle = Lifecycle::for_tests();
    let limit = Duration::from_millis(300);
    let error = wait_until_ready(&connector, limit, &lifecycle).await.expect_err("nobody is there");
    assert!(matches!(error, StartError::Unavailable { .. }), "{error:?}");
    let (connected, ()) = tokio::join!(wait_until_ready(&connector, SOON, &lifecycle), server.restart());
    let mut connection = connected.expect("it came");
    assert_eq!(connection.ping::<String>().await.expect("an answer"), "PONG");
}

#[tokio::test]
async fn a_shared_connection_survives_a_restart_and_a_cut() {
    let mut server = RedisServer::builder().password("good").start().await.expect("it starts");
    let secrets = Secrets::fixed([("REDIS_PASS_CURRENT", "good")]);
    let mut connection = connect(&at(server.port()), &secrets).await.expect("it connects");
    server.kill();
    assert!(connection.ping::<String>().await.is_err());
    server.restart().await;
    eventually("the same connection works", SOON, async || connection.ping::<String>().await).await;
    // Frozen: a call fails within the time limit, and the next one after the thaw works.
    server.pause();
    assert!(connection.ping::<String>().await.is_err());
    server.resume();
    eventually("the same connection works", SOON, async || connection.ping::<String>().await).await;
}

#[tokio::test]
async fn a_blocking_connection_outlasts_its_wait() {
    let server = RedisServer::start().await;
    let connector = Connector::new(&at(server.port()), &no_secrets()).expect("settings");
    // Longer than the limit for answers on the shared connection.
    let wait = Duration::from_secs(4);
    let mut connection = connector.blocking(wait).await.expect("it connects");
    let taken: Option<(String, String)> =
        connection.brpop("nothing", wait.as_secs_f64()).await.expect("an answer");
    assert_eq!(taken, None);
}

#[tokio::test]
async fn tls_trusts_the_given_authority_only() {
    install_tls_provider();
    let authority = Authority::new();
    let server = RedisServer::builder()
        .tls(authority.issue_for_loopback())
        .password("good")
        .start()
        .await
        .expect("it starts");
    let dir = tempfile::tempdir().expect("a directory");
    let ca_cert_path = dir.path().join("ca.pem");
    let secrets = Secrets::fixed([("REDIS_PASS_CURRENT", "good")]);
    let settings =
        || RedisSettings { tls: true, ca_cert_path: Some(ca_cert_path.clone()), ..at(server.port()) };

    let error = connect(&settings(), &secrets).await.expect_err("no file");
    assert!(error.to_string().contains("REDIS_CA_CERT_PATH") && !error.is_transient(), "{error}");
    std::fs::write(&ca_cert_path, Authority::new().pem()).expect("a write");
    connect(&settings(), &secrets).await.expect_err("another authority");
    std::fs::write(&ca_cert_path, authority.pem()).expect("a write");
    let mut connection = connect(&settings(), &secrets).await.expect("it connects");
    assert_eq!(connection.ping::<String>().await.expect("an answer"), "PONG");
    connect(&at(server.port()), &secrets).await.expect_err("plain text is refused");
}

#[tokio::test]
async fn weak_settings_of_a_real_redis_are_found() {
    let shipped = RedisServer::start().await;
    let found = weak_settings(&mut shipped.connection().await).await.expect("an answer");
    assert!(found.is_empty(), "{found:?}");
    let weak = RedisServer::builder()
        .append_fsync(AppendFsync::EverySecond)
        .config("maxmemory-policy", "allkeys-lru")
        .start()
        .await
        .expect("it starts");
    let found = weak_settings(&mut weak.connection().await).await.expect("an answer");
    let names: Vec<&str> = found.iter().map(|weak| weak.name).collect();
    assert_eq!(names, ["maxmemory-policy", "appendfsync"]);
    // As a managed server does: what is not told is not judged.
    acl(&mut weak.connection().await, "-config").await;
    let found = weak_settings(&mut weak.connection().await).await.expect("a refusal is an answer");
    assert!(found.is_empty(), "{found:?}");
}
