//! Rules that change while events come.

use std::time::{Duration, Instant};

use mutt_core::domain::rule::{Handling, Rule};
use mutt_test_support::eventually;

use crate::harness::{LIMIT, Stack, event};

async fn handling_of_a_new_event(stack: &Stack) -> String {
    let entry = event("core1", "door open");
    let id = entry.id.clone();
    stack.push([entry]).await;
    eventually("the event is audited", LIMIT, async || stack.audit().await.remove(&id)).await.handling
}

fn rule() -> Rule {
    Rule { match_string: Some("door".into()), prod_handling: Handling::new("log_only"), ..Rule::new(0) }
}

#[tokio::test]
async fn a_changed_rule_counts_within_two_seconds_of_its_commit() {
    let stack = Stack::start().await;
    let alerter = stack.alerter().await.ready().await;
    assert_eq!(handling_of_a_new_event(&stack).await, "unhandled");
    for handling in ["log_only", "ignore", "suppress"] {
        sqlx::query("delete from alert_rules").execute(&stack.pool).await.unwrap();
        stack.rule(Rule { prod_handling: Handling::new(handling), ..rule() }).await;
        let committed = Instant::now();
        eventually("the new rule counts", Duration::from_secs(10), async || {
            let seen = handling_of_a_new_event(&stack).await;
            if seen == handling { Ok(()) } else { Err(seen) }
        })
        .await;
        assert!(committed.elapsed() < Duration::from_secs(2), "took {:?}", committed.elapsed());
    }
    assert_eq!(alerter.metric("mutt_alerter_cache_rules_count").await, 1);
    alerter.stop().await;
}

#[tokio::test]
async fn a_reload_can_be_asked_for_and_one_that_fails_changes_nothing() {
    let stack = Stack::start().await;
    stack.rule(rule()).await;
    // Nobody tells of changes any more.
    sqlx::query("alter table alert_rules disable trigger user").execute(&stack.pool).await.unwrap();
    let alerter = stack.alerter().await.ready().await;
    eventually("it listens", LIMIT, async || {
        alerter.metric("mutt_alerter_cache_reload_latency_seconds_count").await >= 2
    })
    .await;
    sqlx::query("update alert_rules set prod_handling = 'ignore'").execute(&stack.pool).await.unwrap();
    assert_eq!(handling_of_a_new_event(&stack).await, "log_only");
    alerter.lifecycle.reload();
    eventually("the rule is read again", LIMIT, async || handling_of_a_new_event(&stack).await == "ignore")
        .await;

    sqlx::query("alter table alert_rules rename to hidden").execute(&stack.pool).await.unwrap();
    alerter.lifecycle.reload();
    eventually("the failure is counted", LIMIT, async || {
        alerter.metric("mutt_alerter_cache_reload_failures_total").await >= 1
    })
    .await;
    assert_eq!(handling_of_a_new_event(&stack).await, "ignore");
    sqlx::query("alter table hidden rename to alert_rules").execute(&stack.pool).await.unwrap();
    alerter.stop().await;
}

#[tokio::test]
async fn a_rule_that_cannot_match_is_left_out_and_told_of() {
    let stack = Stack::start().await;
    stack.rule(rule()).await;
    let broken = Rule {
        match_type: mutt_core::domain::rule::MatchType::Regex,
        match_string: Some("a(b".into()),
        ..rule()
    };
    stack.rule(broken).await;
    let alerter = stack.alerter().await.ready().await;
    assert_eq!(alerter.metric("mutt_alerter_cache_rules_count").await, 1);
    assert_eq!(alerter.metric("mutt_alerter_rules_left_out").await, 1);
    assert_eq!(handling_of_a_new_event(&stack).await, "log_only");
    alerter.stop().await;
}
