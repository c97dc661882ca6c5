//! PostgreSQL and Redis going away at bad moments.

use std::time::Duration;

use mutt_core::{
    domain::rule::{Handling, Rule},
    runtime::{Exit, Lifecycle},
};
use mutt_test_support::{PostgresServer, eventually};
use redis::AsyncCommands as _;

use crate::harness::{LIMIT, Stack, event};

fn rule() -> Rule {
    Rule { match_string: Some("down".into()), prod_handling: Handling::new("page_only"), ..Rule::new(0) }
}

#[tokio::test]
async fn no_event_is_taken_before_the_rules_could_be_read() {
    let mut postgres = PostgresServer::start().await;
    let stack = Stack::on(&postgres).await;
    stack.rule(rule()).await;
    postgres.kill();
    let alerter = stack.alerter().await;
    let entry = event("core1", "down");
    let id = entry.id.clone();
    stack.push([entry]).await;
    eventually("the first load failed", LIMIT, async || {
        alerter.metric("mutt_alerter_cache_reload_failures_total").await >= 2
    })
    .await;
    let (status, body) = alerter.get(&alerter.health, "/health/ready").await;
    assert_eq!(status, 503, "{body}");
    let waiting: usize = stack.redis.connection().await.llen("mutt:ingest_queue").await.unwrap();
    assert_eq!(waiting, 1, "the event is still where it was");

    postgres.restart().await;
    let audit = stack.audited(1).await;
    assert_eq!(audit[&id].handling, "page_only", "decided by the rules, not by none");
    alerter.stop().await;
}

#[tokio::test]
async fn a_start_waits_for_a_database_that_is_not_there_yet() {
    let mut postgres = PostgresServer::start().await;
    let mut stack = Stack::on(&postgres).await;
    stack.rule(rule()).await;
    postgres.kill();
    let secrets = stack.redis.data_dir().join("secrets.env");
    std::fs::write(&secrets, "DB_PASS_CURRENT=unused\n").unwrap();
    std::fs::set_permissions(&secrets, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    stack.set("SECRETS_FILE", secrets.to_str().unwrap());
    mutt_test_support::install_tls_provider();
    let lifecycle = Lifecycle::for_tests();
    let settings = stack.settings();
    let test = async {
        stack.push([event("core1", "down")]).await;
        // Long enough for several attempts.
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        for _ in 0..4 {
            ticks.tick().await;
            assert!(!lifecycle.is_draining(), "the start gave up");
        }
        postgres.restart().await;
        let audit = stack.audited(1).await;
        assert!(audit.values().all(|row| row.handling == "page_only"));
        lifecycle.drain("the test is done");
    };
    let (started, ()) = tokio::join!(mutt_alerter::start(settings, lifecycle.clone()), test);
    started.unwrap();
    assert_eq!(lifecycle.wait().await, Exit::Clean);
}

#[tokio::test]
async fn a_database_that_restarts_in_the_middle_loses_nothing_and_doubles_nothing() {
    let mut postgres = PostgresServer::start().await;
    let stack = Stack::on(&postgres).await;
    stack.rule(rule()).await;
    let alerter = stack.alerter().await.ready().await;
    let mut ids = Vec::new();
    for round in 0..4 {
        let entries: Vec<_> =
            (0..500).map(|number| event(&format!("core{number}"), &format!("down {round}"))).collect();
        ids.extend(entries.iter().map(|entry| entry.id.clone()));
        stack.push(entries).await;
        if round % 2 == 0 {
            postgres.restart().await;
        }
        // Keeps the alert queue below its limit, as a forwarder would.
        drain_alerts(&stack, (round + 1) * 500, round * 500).await;
    }
    let audit = stack.audited(2000).await;
    assert_eq!(audit.len(), 2000);
    assert!(ids.iter().all(|id| audit[id].rows == 1 && audit[id].forwarded));
    assert_eq!(stack.list("mutt:dlq:alerter").await.len(), 0, "an outage charges nobody");
    stack.settled().await;
    alerter.stop().await;
}

/// Takes alerts until `until` have come in all, of which `before` had come before.
async fn drain_alerts(stack: &Stack, until: usize, before: usize) {
    let mut conn = stack.redis.connection().await;
    let mut come = before;
    eventually("the alerts come", LIMIT, async || {
        let taken: Option<Vec<String>> =
            redis::cmd("RPOP").arg("mutt:alert_queue").arg(1000).query_async(&mut conn).await.unwrap();
        come += taken.map_or(0, |taken| taken.len());
        if come == until { Ok(()) } else { Err(format!("{come} of {until} alerts")) }
    })
    .await;
}

#[tokio::test]
async fn an_alerter_that_is_stopped_during_an_outage_gives_its_batches_back() {
    let mut postgres = PostgresServer::start().await;
    let stack = Stack::on(&postgres).await;
    stack.rule(rule()).await;
    let alerter = stack.alerter().await.ready().await;
    postgres.kill();
    let entries: Vec<_> = (0..300).map(|number| event(&format!("core{number}"), "down")).collect();
    stack.push(entries).await;
    eventually("events are in hand", LIMIT, async || {
        alerter.metric("mutt_alerter_processing_list_depth").await > 0
    })
    .await;
    alerter.stop().await;
    let waiting: usize = stack.redis.connection().await.llen("mutt:ingest_queue").await.unwrap();
    assert_eq!(waiting, 300, "everything is back on the queue");

    postgres.restart().await;
    let next = stack.alerter().await.ready().await;
    assert_eq!(stack.audited(300).await.len(), 300);
    next.stop().await;
}

#[tokio::test]
async fn a_redis_that_restarts_in_the_middle_loses_nothing() {
    let mut stack = Stack::start().await;
    stack.rule(rule()).await;
    let alerter = stack.alerter().await.ready().await;
    let entries: Vec<_> = (0..1500).map(|number| event(&format!("core{number}"), "down")).collect();
    stack.push(entries).await;
    stack.redis.restart().await;
    assert_eq!(stack.audited(1500).await.len(), 1500);
    stack.listed("mutt:alert_queue", 1500).await;
    stack.settled().await;
    assert_eq!(stack.list("mutt:alert_queue").await.len(), 1500, "each alert once");
    alerter.stop().await;
}
