//! What leaves for Moogsoft.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::event::EventId;

/// Namespace of alert ids: a fixed random UUID, so that the same event and rule always give the same id.
const ALERT_NAMESPACE: Uuid = Uuid::from_u128(0x6d75_7474_a1e7_4f0c_9b52_4d55_5454_0001);

/// Identifies an alert on every copy that is ever sent: a `UUIDv5`, so a redelivered event makes the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(Uuid);

impl AlertId {
    /// The id of the alert that `rule_id` raises for `event`.
    #[must_use]
    pub fn for_event(event: EventId, rule_id: i32) -> Self {
        Self(Uuid::new_v5(&ALERT_NAMESPACE, format!("{event}/{rule_id}").as_bytes()))
    }

    /// The id of the meta-alert for one shape of unhandled message.
    ///
    /// `window` tells one counting period from the next, so that each may alert once.
    #[must_use]
    pub fn for_unhandled(signature: &str, window: &str) -> Self {
        Self(Uuid::new_v5(&ALERT_NAMESPACE, format!("unhandled/{signature}/{window}").as_bytes()))
    }

    /// The id as a UUID.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// An entry of `mutt:alert_queue`.
///
/// Fields serialise in this order, `_id` first, because scripts read the id by position. No key or token is ever in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Alert {
    /// The alert's id, and Moogsoft's `external_id`.
    #[serde(rename = "_id")]
    pub id: AlertId,
    /// Joins the alert to its request.
    #[serde(rename = "_correlation_id", default)]
    pub correlation_id: String,
    /// W3C trace context of the event.
    #[serde(rename = "_traceparent", default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Failed sends that were charged so far.
    #[serde(rename = "_moog_retry_count", default, skip_serializing_if = "is_zero")]
    pub retry_count: u32,
    /// The device; `MUTT_Alerter` for a meta-alert.
    pub hostname: String,
    /// Who must know.
    pub team_assignment: String,
    /// The event's severity as a syslog word; `warning` for a meta-alert or an event without one.
    pub severity: String,
    /// The rule's own severity on Moogsoft's scale of 0 to 5, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moog_severity: Option<u8>,
    /// The text people read.
    pub message_body: String,
    /// What the rule decided, as it was written there.
    #[serde(default)]
    pub handling_decision: String,
    /// `prod` or `dev`.
    #[serde(default)]
    pub environment: String,
    /// The rule that decided; `None` for a meta-alert.
    #[serde(default)]
    pub rule_id: Option<i32>,
    /// The event; `None` for a meta-alert.
    #[serde(default)]
    pub event_id: Option<EventId>,
    /// When it happened; `None` only in entries of other producers.
    #[serde(default)]
    pub event_timestamp: Option<DateTime<Utc>>,
    /// What Moogsoft de-duplicates on, at most 767 bytes.
    #[serde(default)]
    pub signature: String,
    /// For a meta-alert: how many events of its shape were counted when it fired; written by the script that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhandled_count: Option<u64>,
    /// The whole event as it was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_json: Option<Box<RawValue>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert() -> Alert {
        Alert {
            id: AlertId::for_event(EventId::from(Uuid::nil()), 7),
            correlation_id: "req-1".into(),
            traceparent: None,
            retry_count: 0,
            hostname: "sw1".into(),
            team_assignment: "NETO".into(),
            severity: "error".into(),
            moog_severity: None,
            message_body: "down".into(),
            handling_decision: "Page_only".into(),
            environment: "prod".into(),
            rule_id: Some(7),
            event_id: Some(EventId::from(Uuid::nil())),
            event_timestamp: None,
            signature: "sw1::event::rule-7".into(),
            unhandled_count: None,
            raw_json: Some(RawValue::from_string(r#"{"b":1.10,"a":[]}"#.into()).unwrap()),
        }
    }

    #[test]
    fn the_id_is_stable_and_stands_first() {
        let json = serde_json::to_string(&alert()).unwrap();
        assert_eq!(json.get(..8), Some("{\"_id\":\""));
        assert_eq!(json.get(8..44), Some(alert().id.to_string().as_str()));
        assert_ne!(alert().id, AlertId::for_event(EventId::from(Uuid::nil()), 8));
    }

    #[test]
    fn the_event_inside_keeps_its_exact_text() {
        let json = serde_json::to_string(&alert()).unwrap();
        let back: Alert = serde_json::from_str(&json).unwrap();
        assert_eq!(back.raw_json.unwrap().get(), r#"{"b":1.10,"a":[]}"#);
    }
}
