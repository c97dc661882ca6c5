//! Live settings over a real Redis.

use std::time::{Duration, Instant};

use mutt_core::redis::live_settings::{self, LiveSettings, LiveSettingsError};
use mutt_core::redis::{Connector, keys};
use mutt_core::runtime::Lifecycle;
use mutt_core::secrets::Secrets;
use mutt_core::settings::redis::RedisSettings;
use mutt_test_support::{Link, Proxy, RedisServer, eventually};
use redis::AsyncCommands as _;

const SOON: Duration = Duration::from_secs(20);
/// Well below the timer of 5 s: what arrives within this was announced.
const AT_ONCE: Duration = Duration::from_secs(3);

async fn follow(port: u16) -> LiveSettings {
    let settings = RedisSettings {
        host: "127.0.0.1".to_owned(),
        port,
        database: 0,
        tls: false,
        ca_cert_path: None,
        max_connections: 20,
        live_settings: true,
    };
    let connector = Connector::new(&settings, &Secrets::fixed([])).expect("settings");
    let conn = connector.manager().await.expect("it connects");
    LiveSettings::follow(&connector, conn, &Lifecycle::for_tests()).await
}

async fn wait_for(live: &LiveSettings, wanted: Option<u64>, limit: Duration) {
    eventually("the new value", limit, async || match live.get(live_settings::MOOG_RATE_LIMIT) {
        value if value == wanted => Ok(()),
        other => Err(format!("it is {other:?}")),
    })
    .await;
}

/// Until somebody listens, so that a test of announcements does not race the subscription.
async fn wait_for_listeners(server: &RedisServer, count: usize) {
    let mut conn = server.connection().await;
    eventually("listeners", SOON, async || {
        let channels: (String, usize) =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(keys::CONFIG_UPDATES).query_async(&mut conn).await.ok()?;
        (channels.1 == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_change_is_seen_here_at_once_and_elsewhere_in_moments() {
    let server = RedisServer::start().await;
    let (here, elsewhere) = (follow(server.port()).await, follow(server.port()).await);
    wait_for_listeners(&server, 2).await;
    assert_eq!(here.get_or(live_settings::MOOG_RATE_LIMIT, 50), 50);
    let mut heard = elsewhere.changed();
    let change = here.set("moog_rate_limit", Some(" 080 ")).await.expect("a change");
    assert_eq!((change.before, change.after.as_deref()), (None, Some("80")));
    assert_eq!(here.get(live_settings::MOOG_RATE_LIMIT), Some(80));
    tokio::time::timeout(AT_ONCE, heard.changed()).await.expect("in moments").expect("it lives");
    wait_for(&elsewhere, Some(80), AT_ONCE).await;
    let stored: String =
        server.connection().await.get("mutt:config:moog_rate_limit").await.expect("it is stored");
    assert_eq!(stored, "80");
    let change = elsewhere.set("moog_rate_limit", None).await.expect("a change");
    assert_eq!((change.before.as_deref(), change.after), (Some("80"), None));
    wait_for(&here, None, AT_ONCE).await;
}

#[tokio::test]
async fn changes_by_other_tools_are_seen_with_or_without_an_announcement() {
    let server = RedisServer::start().await;
    let live = follow(server.port()).await;
    wait_for_listeners(&server, 1).await;
    let mut tool = server.connection().await;
    let _: () = tool.set("mutt:config:moog_rate_limit", "70").await.expect("a write");
    let _: () = tool.publish(keys::CONFIG_UPDATES, "moog_rate_limit").await.expect("an announcement");
    wait_for(&live, Some(70), AT_ONCE).await;
    let _: () = tool.set("mutt:config:moog_rate_limit", "71").await.expect("a write");
    wait_for(&live, Some(71), SOON).await;
    let _: () = tool.set("mutt:config:moog_rate_limit", "a lot").await.expect("a write");
    wait_for(&live, None, SOON).await;
    let shown = live.list();
    let shown = shown.iter().find(|shown| shown.definition.key == "moog_rate_limit").expect("it is listed");
    assert_eq!((shown.stored.as_deref(), shown.fits), (Some("a lot"), false));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_not_stored() {
    let server = RedisServer::start().await;
    let live = follow(server.port()).await;
    let unknown = live.set("moog_rate", Some("1")).await.expect_err("no such setting");
    assert!(matches!(unknown, LiveSettingsError::UnknownKey { .. }), "{unknown}");
    for (key, value) in [("moog_rate_limit", "0"), ("alerter_shed_mode", "drop"), ("moog_rate_period", "1.5")]
    {
        let refused = live.set(key, Some(value)).await.expect_err("it does not fit");
        assert!(matches!(refused, LiveSettingsError::BadValue { .. }), "{refused}");
    }
    let stored: Vec<String> = server.connection().await.keys("mutt:config:*").await.expect("an answer");
    assert!(stored.is_empty(), "{stored:?}");
}

#[tokio::test]
async fn values_stay_while_redis_is_away_and_follow_again_afterwards() {
    let server = RedisServer::start().await;
    let proxy = Proxy::to_port(server.port()).await;
    let live = follow(proxy.port()).await;
    live.set("moog_rate_limit", Some("80")).await.expect("a change");
    proxy.set(Link::Cut);
    let refused = live.set("moog_rate_limit", Some("90")).await.expect_err("Redis is away");
    assert!(refused.is_transient(), "{refused}");
    assert_eq!(live.get(live_settings::MOOG_RATE_LIMIT), Some(80));
    let _: () = server.connection().await.set("mutt:config:moog_rate_limit", "81").await.expect("a write");
    proxy.set(Link::Up);
    wait_for(&live, Some(81), SOON).await;
    wait_for_listeners(&server, 1).await;
    let _: () = server.connection().await.set("mutt:config:moog_rate_limit", "82").await.expect("a write");
    let _: () = server.connection().await.publish(keys::CONFIG_UPDATES, "x").await.expect("an announcement");
    wait_for(&live, Some(82), AT_ONCE).await;
}

#[tokio::test]
async fn reading_is_cheap_enough_for_every_event() {
    let server = RedisServer::start().await;
    let live = follow(server.port()).await;
    live.set("moog_rate_limit", Some("80")).await.expect("a change");
    let started = Instant::now();
    let sum: u64 = (0..100_000).map(|_| live.get_or(live_settings::MOOG_RATE_LIMIT, 0)).sum();
    assert_eq!(sum, 8_000_000);
    // 25 ns each in a release build; the bound only catches a look-up that became a network call or a lock convoy.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}
