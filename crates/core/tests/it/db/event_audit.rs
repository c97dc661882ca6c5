//! One row per event, whatever is repeated; and reading them.

use chrono::{DateTime, TimeDelta, Utc};
use mutt_core::{
    db::event_audit::{self, Cursor, Filter},
    domain::{
        audit::{EventAudit, Outcome},
        event::{EventId, EventSource},
        host::Environment,
    },
};
use uuid::Uuid;

use super::{count, database};

/// An audited event with a made-up id.
pub(super) fn row(n: u128, received_at: DateTime<Utc>) -> EventAudit<'static> {
    EventAudit {
        event_id: EventId::from(Uuid::from_u128(n)),
        received_at,
        event_timestamp: received_at,
        hostname: "sw1",
        matched_rule_id: Some(7),
        rule_version: Some(2),
        handling_decision: "Page_and_ticket",
        forwarded_to_moog: true,
        outcome: Outcome::Handled,
        environment: Some(Environment::Production),
        team_assignment: Some("NetOps"),
        source: Some(EventSource::Syslog),
        correlation_id: "request-1",
        raw_message: r#"{"_id":"x"}"#,
    }
}

fn unhandled(n: u128, received_at: DateTime<Utc>) -> EventAudit<'static> {
    EventAudit {
        matched_rule_id: None,
        rule_version: None,
        handling_decision: "unhandled",
        forwarded_to_moog: false,
        outcome: Outcome::Unhandled,
        environment: None,
        team_assignment: None,
        source: None,
        ..row(n, received_at)
    }
}

fn start() -> DateTime<Utc> {
    "2026-11-24T12:00:00.123456Z".parse().unwrap()
}

#[tokio::test]
async fn the_row_that_was_there_first_decides() {
    let pool = database().await;
    let first = event_audit::insert_batch(&pool, &[row(2, start()), unhandled(1, start())]).await.unwrap();
    assert_eq!(first.repeats(), 0);

    // The same events again, beside a new one, when the rules have changed.
    let again = [
        EventAudit { handling_decision: "Ignore", forwarded_to_moog: false, ..row(2, start()) },
        row(3, start()),
        row(1, start()),
    ];
    let stored = event_audit::insert_batch(&pool, &again).await.unwrap();
    assert_eq!(stored.repeats(), 2);
    let decision = stored.earlier(again[0].event_id).unwrap();
    assert_eq!(decision.handling_decision, "Page_and_ticket");
    assert!(decision.forwarded_to_moog);
    assert_eq!((decision.matched_rule_id, decision.rule_version), (Some(7), Some(2)));
    assert_eq!(decision.environment.as_deref(), Some("prod"));
    assert_eq!(stored.earlier(again[1].event_id), None);
    assert_eq!(stored.earlier(again[2].event_id).map(|decision| decision.outcome), Some(Outcome::Unhandled));
    assert_eq!(count(&pool, "event_audit_log").await, 3);
}

#[tokio::test]
async fn an_event_twice_in_one_batch_and_nanoseconds_still_make_one_row() {
    let pool = database().await;
    let fine = start() + TimeDelta::nanoseconds(999);
    assert_eq!(event_audit::insert_batch(&pool, &[row(1, fine), row(1, fine)]).await.unwrap().repeats(), 0);
    assert_eq!(event_audit::insert_batch(&pool, &[row(1, fine)]).await.unwrap().repeats(), 1);
    assert_eq!(count(&pool, "event_audit_log").await, 1);
}

#[tokio::test]
async fn overlapping_batches_in_opposite_order_do_not_lock_each_other_out() {
    let pool = database().await;
    for round in 0..20_u128 {
        let forward: Vec<_> = (0..200).map(|n| row(round * 1000 + n, start())).collect();
        let backward: Vec<_> = forward.iter().rev().copied().collect();
        let (one, other) = tokio::join!(
            event_audit::insert_batch(&pool, &forward),
            event_audit::insert_batch(&pool, &backward)
        );
        assert_eq!(one.unwrap().repeats() + other.unwrap().repeats(), 200);
    }
    assert_eq!(count(&pool, "event_audit_log").await, 4000);
}

#[tokio::test]
async fn pages_by_key_show_every_event_once_while_new_ones_arrive() {
    let pool = database().await;
    // Five share each instant, so that the id must break ties.
    let rows: Vec<_> =
        (0..50).map(|n| row(n, start() + TimeDelta::seconds(i64::try_from(n).unwrap() / 5))).collect();
    event_audit::insert_batch(&pool, &rows).await.unwrap();
    let filter = Filter { until: Some(start() + TimeDelta::minutes(1)), ..Filter::default() };
    let mut seen: Vec<u128> = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = event_audit::page(&pool, &filter, after, 0, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.cursor().to_string().parse().unwrap());
        seen.extend(page.iter().map(|event| event.event_id.as_u128()));
        let newer = row(1000 + seen.len() as u128, start() + TimeDelta::hours(1));
        event_audit::insert_batch(&pool, &[newer]).await.unwrap();
    }
    assert_eq!(seen, (0..50).rev().collect::<Vec<u128>>());
    assert_eq!(event_audit::count_up_to(&pool, &filter, 20).await.unwrap(), 20);
    assert_eq!(event_audit::count_up_to(&pool, &filter, 1000).await.unwrap(), 50);
    let third = event_audit::page(&pool, &filter, None, 14, 7).await.unwrap();
    assert_eq!(third[0].event_id.as_u128(), 35);
}

#[tokio::test]
async fn filters_hold_together_and_requests_are_found_by_their_id() {
    let pool = database().await;
    let id = EventId::new(start());
    let id_text = id.to_string();
    let alone =
        EventAudit { event_id: id, correlation_id: &id_text, hostname: "sw2", ..unhandled(0, start()) };
    event_audit::insert_batch(&pool, &[row(1, start()), row(2, start()), alone]).await.unwrap();

    let of = async |filter: Filter| {
        let rows = event_audit::page(&pool, &filter, None, 0, 10).await.unwrap();
        assert_eq!(
            event_audit::count_up_to(&pool, &filter, 10).await.unwrap(),
            i64::try_from(rows.len()).unwrap()
        );
        rows.len()
    };
    assert_eq!(of(Filter::default()).await, 3);
    assert_eq!(of(Filter { hostname: Some("sw2".into()), ..Filter::default() }).await, 1);
    assert_eq!(of(Filter { rule_id: Some(7), ..Filter::default() }).await, 2);
    assert_eq!(of(Filter { outcome: Some(Outcome::Unhandled), ..Filter::default() }).await, 1);
    assert_eq!(
        of(Filter { forwarded: Some(true), hostname: Some("sw2".into()), ..Filter::default() }).await,
        0
    );
    assert_eq!(of(Filter { from: Some(start() + TimeDelta::microseconds(1)), ..Filter::default() }).await, 0);

    let request = event_audit::by_correlation(&pool, "request-1", 10).await.unwrap();
    assert_eq!(request.iter().map(|event| event.event_id.as_u128()).collect::<Vec<_>>(), [2, 1]);
    let single = event_audit::by_correlation(&pool, &id_text, 10).await.unwrap();
    assert_eq!(single.len(), 1);
    assert_eq!(single[0].hostname, "sw2");
    assert_eq!(event_audit::by_correlation(&pool, "no-such-request", 10).await.unwrap(), []);
    assert_eq!(
        event_audit::get(&pool, id).await.unwrap().map(|event| event.hostname),
        Some("sw2".to_owned())
    );
    assert_eq!(event_audit::get(&pool, EventId::from(Uuid::from_u128(9))).await.unwrap(), None);
}
