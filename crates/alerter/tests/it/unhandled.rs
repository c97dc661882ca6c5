//! Messages that no rule matches: counted by shape, told of once.

use mutt_core::redis::live_settings;

use crate::harness::{Stack, event};

async fn push_shape(stack: &Stack, host: &str, numbers: std::ops::Range<u32>) {
    let entries: Vec<_> =
        numbers.map(|number| event(host, &format!("fan {number} spins at {}", number * 7))).collect();
    stack.push(entries).await;
}

#[tokio::test]
async fn reaching_the_threshold_raises_one_meta_alert_for_the_hosts_team() {
    let mut stack = Stack::start().await;
    stack.set("UNHANDLED_THRESHOLD", "10");
    sqlx::query("insert into device_teams (hostname, team_assignment) values ('core1', 'Cooling')")
        .execute(&stack.pool)
        .await
        .unwrap();
    let alerter = stack.alerter().await.ready().await;
    push_shape(&stack, "core1", 0..9).await;
    stack.audited(9).await;
    stack.settled().await;
    assert_eq!(stack.list("mutt:alert_queue").await.len(), 0);

    push_shape(&stack, "core1", 9..40).await;
    let alerts = stack.listed("mutt:alert_queue", 1).await;
    stack.audited(40).await;
    stack.settled().await;
    assert_eq!(stack.list("mutt:alert_queue").await.len(), 1, "one for the shape, however many follow");
    let alert = &alerts[0];
    assert_eq!((&alert["hostname"], &alert["team_assignment"]), (&"MUTT_Alerter".into(), &"Cooling".into()));
    let body = alert["message_body"].as_str().unwrap();
    assert!(
        body.starts_with(
            "[MUTT] Detected 10 unhandled messages in 86400s from 'core1'. Sample message: fan "
        ),
        "{body}"
    );
    assert!(alert["unhandled_count"].as_u64().unwrap() >= 10);
    assert!(alert["signature"].as_str().unwrap().starts_with("core1::unhandled::"));
    assert_eq!(alert["severity"], "warning");

    push_shape(&stack, "core2", 0..10).await;
    let alerts = stack.listed("mutt:alert_queue", 2).await;
    assert_eq!(alerts[1]["team_assignment"], "NETO", "a host without a team");
    alerter.stop().await;
}

#[tokio::test]
async fn a_threshold_that_is_lowered_below_the_count_fires_with_the_next_event() {
    let mut stack = Stack::start().await;
    stack.set("DYNAMIC_CONFIG_ENABLED", "true");
    let alerter = stack.alerter().await.ready().await;
    push_shape(&stack, "core1", 0..20).await;
    stack.audited(20).await;
    stack.settled().await;
    let mut conn = stack.redis.connection().await;
    live_settings::write(&mut conn, "unhandled_threshold", Some("5")).await.unwrap();
    let mut next = 20;
    mutt_test_support::eventually("the meta-alert comes", crate::harness::LIMIT, async || {
        push_shape(&stack, "core1", next..next + 1).await;
        next += 1;
        stack.audited(usize::try_from(next).unwrap()).await;
        stack.settled().await;
        !stack.list("mutt:alert_queue").await.is_empty()
    })
    .await;
    assert_eq!(stack.list("mutt:alert_queue").await.len(), 1);
    alerter.stop().await;
}
