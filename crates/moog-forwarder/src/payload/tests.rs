use mutt_core::domain::alert::AlertId;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const EVENT: &str = r#"{"_id":"x","message":"down","big":12345678901234567890,"empty":[],"ratio":1.10}"#;

fn alert() -> Alert {
    let event = EventId::new(DateTime::from_timestamp(1_763_000_000, 0).unwrap());
    Alert {
        id: AlertId::for_event(event, 7),
        correlation_id: "req-1".into(),
        traceparent: None,
        retry_count: 0,
        unhandled_count: None,
        hostname: "sw1".into(),
        team_assignment: "NETO".into(),
        severity: "error".into(),
        moog_severity: None,
        message_body: "%LINK-3-UPDOWN: down".into(),
        handling_decision: "Page_only".into(),
        environment: "prod".into(),
        rule_id: Some(7),
        event_id: Some(event),
        event_timestamp: DateTime::from_timestamp(1_762_999_999, 500_000_000),
        signature: "sw1::LINK-3-UPDOWN::rule-7".into(),
        raw_json: Some(RawValue::from_string(EVENT.into()).unwrap()),
    }
}

fn sent(dialect: Dialect, alert: &Alert) -> Value {
    serde_json::from_slice(&body(dialect, alert, DateTime::from_timestamp(1_800_000_000, 0).unwrap()))
        .unwrap()
}

#[test]
fn the_webhook_gets_the_original_fields() {
    let alert = alert();
    let expected = json!({
        "signature": "sw1::LINK-3-UPDOWN::rule-7", "source_id": "sw1", "external_id": alert.id.to_string(),
        "manager": "MUTT", "source": "MUTT Alerter", "class": "NETO", "agent": "MUTT v2.3",
        "agent_location": "Alerter Service", "type": "Alert", "severity": 4, "description": "%LINK-3-UPDOWN: down",
        "agent_time": 1_762_999_999,
        "custom_info": {
            "correlation_id": "req-1", "handling_decision": "Page_only", "environment": "prod", "rule_id": 7,
            "event_id": alert.event_id.unwrap().to_string(), "team": "NETO",
            "raw_event": serde_json::from_str::<Value>(EVENT).unwrap(),
        },
    });
    assert_eq!(sent(Dialect::Webhook, &alert), expected);
}

#[test]
fn the_event_goes_along_exactly_as_it_was_written() {
    let bytes = body(Dialect::Webhook, &alert(), DateTime::default());
    assert!(String::from_utf8(bytes).unwrap().contains(EVENT));
}

#[test]
fn the_cloud_gets_an_array_with_flat_tags() {
    let alert = alert();
    let expected = json!([{
        "source": "sw1", "check": "LINK-3-UPDOWN", "severity": "major", "description": "%LINK-3-UPDOWN: down",
        "service": ["NETO"], "class": "NETO", "manager": "MUTT", "type": "Alert",
        "deduplication_key": "sw1::LINK-3-UPDOWN::rule-7", "time": 1_762_999_999,
        "tags": {
            "external_id": alert.id.to_string(), "correlation_id": "req-1", "handling_decision": "Page_only",
            "environment": "prod", "rule_id": "7", "event_id": alert.event_id.unwrap().to_string(), "team": "NETO",
        },
    }]);
    assert_eq!(sent(Dialect::Cloud, &alert), expected);
}

#[test]
fn severities_are_on_moogsofts_published_scale() {
    let of = |word: &str| severity(&Alert { severity: word.into(), ..alert() });
    for (words, expected) in [
        (&["emergency", "alert", "critical", "Critical", "crit"][..], 5),
        (&["error", "err", "Major"], 4),
        (&["Minor"], 3),
        (&["warning", "Warning", "", "no such word"], 2),
        (&["notice", "informational", "info", "debug"], 1),
        (&["Clear"], 0),
    ] {
        for word in words {
            assert_eq!(of(word), expected, "{word}");
        }
    }
    assert_eq!(severity(&Alert { moog_severity: Some(0), ..alert() }), 0);
    assert_eq!(severity(&Alert { moog_severity: Some(9), ..alert() }), 5);
}

#[test]
fn copies_are_alike_whenever_they_are_sent() {
    let first = alert();
    let again = Alert { retry_count: 4, ..first.clone() };
    let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
    assert_eq!(body(Dialect::Webhook, &first, at(1)), body(Dialect::Webhook, &again, at(2)));
}

#[test]
fn an_alert_of_another_producer_gets_what_it_lacks() {
    let foreign = Alert {
        hostname: String::new(),
        team_assignment: String::new(),
        signature: String::new(),
        rule_id: None,
        event_id: None,
        event_timestamp: None,
        raw_json: None,
        ..alert()
    };
    let webhook = sent(Dialect::Webhook, &foreign);
    assert_eq!(webhook["signature"], "unknown::event::rule-none");
    assert_eq!((&webhook["source_id"], &webhook["class"]), (&json!("unknown"), &json!("Unknown")));
    assert_eq!(webhook["agent_time"], 1_800_000_000);
    assert!(webhook["custom_info"].get("raw_event").is_none());
    assert_eq!(sent(Dialect::Cloud, &foreign)[0]["check"], "event");
}

#[test]
fn an_event_without_a_time_counts_from_when_it_was_accepted() {
    let timeless = Alert { event_timestamp: None, ..alert() };
    assert_eq!(sent(Dialect::Webhook, &timeless)["agent_time"], 1_763_000_000);
}

#[test]
fn a_body_that_would_be_refused_for_its_size_goes_without_the_event() {
    let huge = serde_json::to_string(&json!({ "message": "x".repeat(200_000) })).unwrap();
    let alert = Alert {
        message_body: "é".repeat(60_000),
        raw_json: Some(RawValue::from_string(huge.clone()).unwrap()),
        ..alert()
    };
    let bytes = body(Dialect::Webhook, &alert, DateTime::default());
    assert!(bytes.len() <= BODY_MAX_BYTES);
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["custom_info"]["raw_event_omitted_bytes"], huge.len());
    let description = value["description"].as_str().unwrap();
    assert!(description.len() <= DESCRIPTION_MAX_BYTES && description.ends_with("é…"));
}

proptest! {
    #[test]
    fn signatures_are_bounded_and_stay_distinct(head in ".{0,400}", one in ".{0,900}", other in ".{0,900}") {
        let of = |tail: &str| {
            let alert = Alert { signature: format!("h{head}{tail}"), ..alert() };
            signature(&alert).into_owned()
        };
        let (first, second) = (of(&one), of(&other));
        prop_assert!(first.len() <= SIGNATURE_MAX_BYTES && second.len() <= SIGNATURE_MAX_BYTES);
        prop_assert_eq!(first == second, one == other);
    }
}
