//! The original's demo data, when it is there: everything comes through, and the seed rules match what they matched.

use std::path::Path;

use mutt_core::domain::{
    event::SyslogSeverity,
    rule::{Handling, Rule},
};
use serde_json::Value;

use crate::harness::{Stack, event};

fn corpus(name: &str) -> Option<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora").join(name);
    if let Ok(text) = std::fs::read_to_string(&path) {
        return Some(serde_json::from_str(&text).unwrap());
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

#[tokio::test]
async fn the_demo_events_come_through_and_the_seed_rules_match_thirty() {
    let Some(events) = corpus("demo_syslog_events.json") else { return };
    let stack = Stack::start().await;
    for (priority, text) in
        [(5, "LINK-DOWN"), (10, "CRITICAL"), (20, "ERROR"), (50, "DOT1X-FIRMWARE-RUNNING")]
    {
        let rule = Rule {
            match_string: Some(text.into()),
            priority,
            prod_handling: Handling::new("Ticket_only"),
            team_assignment: "NETO".into(),
            ..Rule::new(0)
        };
        stack.rule(rule).await;
    }
    let alerter = stack.alerter().await.ready().await;
    let entries: Vec<_> = events
        .iter()
        .map(|original| {
            let severity = original["syslog_severity"].as_str().and_then(SyslogSeverity::from_text).unwrap();
            event(original["hostname"].as_str().unwrap(), original["message"].as_str().unwrap())
                .severity(severity.get())
        })
        .collect();
    stack.push(entries).await;
    let audit = stack.audited(330).await;
    stack.settled().await;
    assert_eq!(audit.len(), 330);
    assert_eq!(audit.values().filter(|row| row.outcome == "handled").count(), 30);
    assert_eq!(stack.list("mutt:alert_queue").await.len(), 30);
    alerter.stop().await;
}

#[tokio::test]
async fn the_demo_traps_match_by_prefix_with_or_without_a_leading_dot() {
    let Some(traps) = corpus("demo_snmp_traps.json") else { return };
    let stack = Stack::start().await;
    let rule = Rule {
        match_type: mutt_core::domain::rule::MatchType::OidPrefix,
        trap_oid: Some(".1.3.6.1.4.1.9.9.41.2".into()),
        prod_handling: Handling::new("Page_and_ticket"),
        ..Rule::new(0)
    };
    stack.rule(rule).await;
    let alerter = stack.alerter().await.ready().await;
    let entries: Vec<_> = traps
        .iter()
        .map(|trap| {
            let message = trap["variables"].to_string();
            event(trap["source_ip"].as_str().unwrap(), &message).oid(trap["trap_oid"].as_str().unwrap())
        })
        .collect();
    let expected = traps
        .iter()
        .filter(|trap| trap["trap_oid"].as_str().unwrap().starts_with("1.3.6.1.4.1.9.9.41.2."))
        .count();
    assert!(expected > 0);
    stack.push(entries).await;
    let audit = stack.audited(traps.len()).await;
    assert_eq!(audit.values().filter(|row| row.outcome == "handled").count(), expected);
    alerter.stop().await;
}
