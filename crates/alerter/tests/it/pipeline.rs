//! From the ingest queue to the audit, the alert queue and the dead letters.

use mutt_core::domain::rule::{Handling, MatchType, Rule};

use crate::harness::{Stack, event};

fn rule(text: &str, priority: i32, prod: &str, team: &str) -> Rule {
    Rule {
        match_string: Some(text.into()),
        priority,
        prod_handling: Handling::new(prod),
        dev_handling: Handling::new("Ignore"),
        team_assignment: team.into(),
        ..Rule::new(0)
    }
}

#[tokio::test]
async fn each_event_is_audited_once_and_forwarded_as_its_rule_says() {
    let stack = Stack::start().await;
    let page = stack
        .rule(Rule { moog_severity: Some(5), ..rule("LINK-DOWN", 5, "Page_and_ticket", "NetOps") })
        .await;
    let quiet = stack.rule(rule("link", 50, "Log_only", "NETO")).await;
    let oid = Rule {
        match_type: MatchType::OidPrefix,
        match_string: None,
        trap_oid: Some(".1.3.6.1.4.1.9.9.41.2".into()),
        ..rule("", 15, "ticket_only", "NetOps")
    };
    let trap = stack.rule(oid).await;
    sqlx::query("insert into development_hosts (hostname) values ('lab1')")
        .execute(&stack.pool)
        .await
        .unwrap();
    let alerter = stack.alerter().await.ready().await;

    let down = event("core1", "%LINK-3-UPDOWN: link-down on Gi0/1").severity(3);
    let lab = event("LAB1.example.com", "link-down on Gi0/2");
    let linked = event("core2", "link is flapping");
    let trapped = event("core3", "trap").oid("1.3.6.1.4.1.9.9.41.2.0.1");
    let beside = event("core3", "trap").oid("1.3.6.1.4.1.9.9.41.20");
    let ids = [&down, &lab, &linked, &trapped, &beside].map(|entry| entry.id.clone());
    stack.push([down, lab, linked, trapped, beside]).await;

    let audit = stack.audited(5).await;
    assert!(audit.values().all(|row| row.rows == 1), "{audit:?}");
    let words = |index: usize| {
        let row = &audit[&ids[index]];
        (row.outcome.as_str(), row.handling.as_str(), row.forwarded, row.rule, row.environment.as_deref())
    };
    assert_eq!(words(0), ("handled", "Page_and_ticket", true, Some(page), Some("prod")));
    assert_eq!(words(1), ("handled", "Ignore", false, Some(page), Some("dev")));
    assert_eq!(words(2), ("handled", "Log_only", false, Some(quiet), Some("prod")));
    assert_eq!(words(3), ("handled", "ticket_only", true, Some(trap), Some("prod")));
    assert_eq!(words(4), ("unhandled", "unhandled", false, None, Some("prod")));

    let alerts = stack.listed("mutt:alert_queue", 2).await;
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    let alert = &alerts[0];
    for (field, expected) in [
        ("hostname", "core1"),
        ("team_assignment", "NetOps"),
        ("severity", "error"),
        ("message_body", "%LINK-3-UPDOWN: link-down on Gi0/1"),
        ("_correlation_id", "req-1"),
        ("handling_decision", "Page_and_ticket"),
        ("environment", "prod"),
        ("event_id", ids[0].as_str()),
        ("_traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ] {
        assert_eq!(alert[field], expected, "{field}");
    }
    assert_eq!(alert["signature"], format!("core1::LINK-3-UPDOWN::rule-{page}"));
    assert_eq!((&alert["rule_id"], &alert["moog_severity"]), (&page.into(), &5.into()));
    assert_eq!(
        alert["raw_json"],
        serde_json::from_str::<serde_json::Value>(&stack.raw_message(&ids[0]).await).unwrap()
    );
    assert_eq!(alerts[1]["signature"], format!("core3::1.3.6.1.4.1.9.9.41.2.0.1::rule-{trap}"));
    assert!(alert.get("api_key").is_none());

    assert_eq!(alerter.metric("mutt_alerter_events_processed_total{status=\"handled\"}").await, 4);
    assert_eq!(alerter.metric("mutt_alerter_events_processed_total{status=\"unhandled\"}").await, 1);
    assert_eq!(alerter.metric("mutt_alerter_alerts_forwarded_total").await, 2);
    stack.settled().await;
    alerter.stop().await;
}

#[tokio::test]
async fn an_event_that_comes_again_after_its_rule_changed_says_what_it_said_before() {
    let stack = Stack::start().await;
    let id = stack.rule(rule("down", 5, "page_only", "First")).await;
    let first = stack.alerter().await.ready().await;
    let entry = event("core1", "down");
    let event_id = entry.id.clone();
    stack.push([entry]).await;
    stack.audited(1).await;
    stack.listed("mutt:alert_queue", 1).await;
    first.stop().await;

    sqlx::query("update alert_rules set prod_handling = 'ignore', team_assignment = 'Second' where id = $1")
        .bind(id)
        .execute(&stack.pool)
        .await
        .unwrap();
    // As after a crash between the audit and the settlement, and with the memory of pushed alerts gone.
    let mut conn = stack.redis.connection().await;
    let _: () = redis::cmd("DEL").arg("mutt:dedup:alerts").query_async(&mut conn).await.unwrap();
    let second = stack.alerter().await.ready().await;
    stack.push_raw(&[stack.raw_message(&event_id).await.into_bytes()]).await;
    let alerts = stack.listed("mutt:alert_queue", 2).await;
    assert_eq!(alerts[0]["_id"], alerts[1]["_id"]);
    assert_eq!(
        (&alerts[1]["team_assignment"], &alerts[1]["handling_decision"]),
        (&"First".into(), &"page_only".into())
    );
    let audit = stack.audit().await;
    assert_eq!((audit[&event_id].rows, audit[&event_id].handling.as_str()), (1, "page_only"));
    second.stop().await;
}

#[tokio::test]
async fn what_is_no_event_ends_in_the_dead_letters_with_its_bytes_and_the_reason() {
    let stack = Stack::start().await;
    let alerter = stack.alerter().await.ready().await;
    stack.push([event("core1", "fine")]).await;
    stack
        .push_raw(&[
            b"not json at all".to_vec(),
            br#"{"hostname":"h","timestamp":"x"}"#.to_vec(),
            b"\xff\xfe binary".to_vec(),
            b"[1,2,3]".to_vec(),
        ])
        .await;
    stack.audited(1).await;
    let dead = stack.listed("mutt:dlq:alerter", 4).await;
    for letter in &dead {
        assert_eq!(letter["_dlq"]["reason"], "undecodable", "{letter}");
        assert_eq!(letter["_dlq"]["stage"], "alerter");
        assert!(letter["_dlq"]["at_ms"].as_i64().unwrap() > 1_700_000_000_000);
        assert!(!letter["_dlq"]["error"].as_str().unwrap().is_empty());
    }
    let text = serde_json::to_string(&dead).unwrap();
    for kept in ["not json at all", "[1,2,3]", r#""hostname":"h""#] {
        assert!(text.contains(kept) || text.contains(&kept.replace('"', "\\\"")), "{kept} is not in {text}");
    }
    eventually_poison(&alerter, 4).await;
    stack.settled().await;
    alerter.stop().await;
}

async fn eventually_poison(alerter: &crate::harness::Running, expected: i64) {
    let name = "mutt_alerter_events_processed_total{status=\"poison\"}";
    mutt_test_support::eventually("poison is counted", crate::harness::LIMIT, async || {
        let counted = alerter.metric(name).await;
        if counted >= expected { Ok(()) } else { Err(counted.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_stored_takes_no_other_with_it() {
    let stack = Stack::start().await;
    sqlx::query("alter table event_audit_log add constraint no_cursed check (hostname <> 'cursed')")
        .execute(&stack.pool)
        .await
        .unwrap();
    let alerter = stack.alerter().await;
    let mut entries: Vec<_> = (0..300).map(|number| event(&format!("core{number}"), "m")).collect();
    entries[137] = event("cursed", "m");
    stack.push(entries).await;
    let alerter = alerter.ready().await;
    assert_eq!(stack.audited(299).await.len(), 299);
    let dead = stack.listed("mutt:dlq:alerter", 1).await;
    assert_eq!(dead.len(), 1);
    assert_eq!((&dead[0]["_dlq"]["reason"], &dead[0]["hostname"]), (&"data_error".into(), &"cursed".into()));
    assert!(dead[0]["_dlq"]["error"].as_str().unwrap().contains("no_cursed"), "{}", dead[0]);
    stack.settled().await;
    alerter.stop().await;
}

#[tokio::test]
async fn a_full_alert_queue_holds_events_back_and_loses_none() {
    let mut stack = Stack::start().await;
    stack.set("ALERTER_QUEUE_SHED_THRESHOLD", "50");
    stack.set("ALERTER_QUEUE_WARN_THRESHOLD", "20");
    stack.set("ALERTER_DEFER_SLEEP_MS", "20");
    stack.set("ALERTER_BATCH_SIZE", "10");
    stack.set("ALERTER_LANES", "2");
    stack.rule(rule("down", 5, "page_only", "T")).await;
    let alerter = stack.alerter().await.ready().await;
    let entries: Vec<_> = (0..500).map(|number| event(&format!("core{number}"), "down")).collect();
    stack.push(entries).await;
    mutt_test_support::eventually("claims are put off", crate::harness::LIMIT, async || {
        alerter.metric("mutt_alerter_shed_events_total{mode=\"defer\"}").await >= 3
    })
    .await;
    let held = stack.list("mutt:alert_queue").await.len();
    // The limit, and at most what each lane had in hand and was deciding when it was reached.
    assert!((50..=110).contains(&held), "{held} alerts are queued");

    let mut conn = stack.redis.connection().await;
    let mut delivered = std::collections::BTreeSet::new();
    mutt_test_support::eventually("all alerts come", crate::harness::LIMIT, async || {
        let taken: Vec<String> = redis::cmd("RPOP")
            .arg("mutt:alert_queue")
            .arg(25)
            .query_async::<Option<Vec<String>>>(&mut conn)
            .await
            .unwrap()
            .unwrap_or_default();
        for alert in taken {
            assert!(delivered.insert(alert.get(8..44).unwrap().to_owned()), "an alert came twice");
        }
        if delivered.len() == 500 { Ok(()) } else { Err(format!("{} alerts", delivered.len())) }
    })
    .await;
    assert_eq!(stack.audited(500).await.len(), 500);
    assert_eq!(stack.list("mutt:dlq:alerter").await.len(), 0);
    alerter.stop().await;
}
