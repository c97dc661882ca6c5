//! What Moogsoft is sent for an alert. Pure; the same alert always gives the same bytes, so that copies are alike.
//!
//! The fields are the original's. No key, token or time of sending is ever in it, and the raw event is left out rather
//! than letting one large message be refused for its size.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use mutt_core::domain::{alert::Alert, event::EventId};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// Moogsoft stores a signature in so many bytes.
pub const SIGNATURE_MAX_BYTES: usize = 767;
/// Moogsoft's limit for a description is 32,500 characters; bytes are never fewer.
const DESCRIPTION_MAX_BYTES: usize = 32_500;
/// Moogsoft's limit for an event is 128 KiB; the rest is for what a proxy may add.
const BODY_MAX_BYTES: usize = 120 << 10;

/// Which of Moogsoft's interfaces is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The webhook or REST module on premises: one object.
    Webhook,
    /// The Events API of the cloud service: an array.
    Cloud,
}

/// The body for one alert.
///
/// `sent_at` only stands in for the event's time in entries of other producers that carry none.
#[must_use]
pub fn body(dialect: Dialect, alert: &Alert, sent_at: DateTime<Utc>) -> Vec<u8> {
    let happened_at = alert
        .event_timestamp
        .or_else(|| alert.event_id.and_then(EventId::made_at))
        .unwrap_or(sent_at)
        .timestamp();
    let built = match dialect {
        Dialect::Webhook => {
            let whole = serde_json::to_vec(&Webhook::new(alert, happened_at, RawEvent::of(alert)));
            match whole {
                Ok(bytes) if bytes.len() > BODY_MAX_BYTES => {
                    serde_json::to_vec(&Webhook::new(alert, happened_at, RawEvent::omitted(alert)))
                }
                other => other,
            }
        }
        Dialect::Cloud => serde_json::to_vec(&[CloudEvent::new(alert, happened_at)]),
    };
    // Text, numbers and checked JSON only: serialising them cannot fail.
    built.unwrap_or_default()
}

/// Moogsoft's severity: the rule's own, else from the event's (emergency, alert, critical 5; error 4; warning 2; the
/// rest 1). Words of Moogsoft's own scale, as other producers write them, mean what they mean there; an unknown word is
/// a warning.
#[must_use]
pub fn severity(alert: &Alert) -> u8 {
    if let Some(own) = alert.moog_severity {
        return own.min(5);
    }
    match alert.severity.trim().to_ascii_lowercase().as_str() {
        "emergency" | "emerg" | "panic" | "alert" | "critical" | "crit" | "0" | "1" | "2" => 5,
        "error" | "err" | "major" | "3" => 4,
        "minor" => 3,
        "notice" | "informational" | "info" | "debug" | "indeterminate" | "5" | "6" | "7" => 1,
        "clear" | "cleared" => 0,
        _ => 2,
    }
}

/// What Moogsoft tells alerts apart by, in at most [`SIGNATURE_MAX_BYTES`].
///
/// The alerter made it; here it is only bounded, or made from host and rule for entries that came without.
#[must_use]
pub fn signature(alert: &Alert) -> Cow<'_, str> {
    if alert.signature.is_empty() {
        let rule = alert.rule_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        return Cow::Owned(bounded(&format!("{}::event::rule-{rule}", host(alert))).into_owned());
    }
    bounded(&alert.signature)
}

/// Keeps a readable head of a text that is too long, and a digest that keeps it distinct.
fn bounded(signature: &str) -> Cow<'_, str> {
    if signature.len() <= SIGNATURE_MAX_BYTES {
        return Cow::Borrowed(signature);
    }
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, signature.as_bytes()).simple().to_string();
    let head = cut(signature, SIGNATURE_MAX_BYTES - digest.len() - 2);
    Cow::Owned(format!("{head}::{digest}"))
}

/// The longest head of `text` that fits, cut between characters.
fn cut(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default()
}

fn description(alert: &Alert) -> Cow<'_, str> {
    if alert.message_body.len() <= DESCRIPTION_MAX_BYTES {
        return Cow::Borrowed(&alert.message_body);
    }
    Cow::Owned(format!("{}…", cut(&alert.message_body, DESCRIPTION_MAX_BYTES - '…'.len_utf8())))
}

fn host(alert: &Alert) -> &str {
    if alert.hostname.is_empty() { "unknown" } else { &alert.hostname }
}

fn team(alert: &Alert) -> &str {
    if alert.team_assignment.is_empty() { "Unknown" } else { &alert.team_assignment }
}

/// One event for the webhook, with the original's constants.
#[derive(Serialize)]
struct Webhook<'a> {
    signature: Cow<'a, str>,
    source_id: &'a str,
    external_id: String,
    manager: &'static str,
    source: &'static str,
    class: &'a str,
    agent: &'static str,
    agent_location: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    severity: u8,
    description: Cow<'a, str>,
    /// Seconds since 1970: when it happened, not when it was sent.
    agent_time: i64,
    custom_info: CustomInfo<'a>,
}

#[derive(Serialize)]
struct CustomInfo<'a> {
    correlation_id: &'a str,
    handling_decision: &'a str,
    environment: &'a str,
    rule_id: Option<i32>,
    event_id: Option<String>,
    team: &'a str,
    /// How many unhandled messages made this meta-alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    unhandled_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_event: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_event_omitted_bytes: Option<usize>,
}

/// Whether the event itself goes along.
#[derive(Clone, Copy)]
struct RawEvent<'a> {
    whole: Option<&'a RawValue>,
    omitted_bytes: Option<usize>,
}

impl<'a> RawEvent<'a> {
    fn of(alert: &'a Alert) -> Self {
        Self { whole: alert.raw_json.as_deref(), omitted_bytes: None }
    }

    fn omitted(alert: &'a Alert) -> Self {
        Self { whole: None, omitted_bytes: alert.raw_json.as_ref().map(|event| event.get().len()) }
    }
}

impl<'a> Webhook<'a> {
    fn new(alert: &'a Alert, happened_at: i64, raw_event: RawEvent<'a>) -> Self {
        Self {
            signature: signature(alert),
            source_id: host(alert),
            external_id: alert.id.to_string(),
            manager: "MUTT",
            source: "MUTT Alerter",
            class: team(alert),
            agent: "MUTT v2.3",
            agent_location: "Alerter Service",
            kind: "Alert",
            severity: severity(alert),
            description: description(alert),
            agent_time: happened_at,
            custom_info: CustomInfo {
                correlation_id: &alert.correlation_id,
                handling_decision: &alert.handling_decision,
                environment: &alert.environment,
                rule_id: alert.rule_id,
                event_id: alert.event_id.map(|id| id.to_string()),
                team: team(alert),
                unhandled_count: alert.unhandled_count,
                raw_event: raw_event.whole,
                raw_event_omitted_bytes: raw_event.omitted_bytes,
            },
        }
    }
}

/// One event for the cloud. It knows no `external_id` and no nested fields: both go into the flat tags.
#[derive(Serialize)]
struct CloudEvent<'a> {
    source: &'a str,
    check: String,
    severity: &'static str,
    description: Cow<'a, str>,
    service: [&'a str; 1],
    class: &'a str,
    manager: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    deduplication_key: Cow<'a, str>,
    time: i64,
    tags: Tags<'a>,
}

#[derive(Serialize)]
struct Tags<'a> {
    external_id: String,
    correlation_id: &'a str,
    handling_decision: &'a str,
    environment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    team: &'a str,
}

impl<'a> CloudEvent<'a> {
    fn new(alert: &'a Alert, happened_at: i64) -> Self {
        Self {
            source: host(alert),
            check: check(alert),
            severity: cloud_word(severity(alert)),
            description: description(alert),
            service: [team(alert)],
            class: team(alert),
            manager: "MUTT",
            kind: "Alert",
            deduplication_key: signature(alert),
            time: happened_at,
            tags: Tags {
                external_id: alert.id.to_string(),
                correlation_id: &alert.correlation_id,
                handling_decision: &alert.handling_decision,
                environment: &alert.environment,
                rule_id: alert.rule_id.map(|id| id.to_string()),
                event_id: alert.event_id.map(|id| id.to_string()),
                team: team(alert),
            },
        }
    }
}

/// What was tested: the middle of `<host>::<check>::rule-<id>`.
fn check(alert: &Alert) -> String {
    let signature = signature(alert);
    let rest = signature.strip_prefix(host(alert)).and_then(|rest| rest.strip_prefix("::"));
    match rest.and_then(|rest| rest.split("::").next()) {
        Some(check) if !check.is_empty() => check.to_owned(),
        _ => "event".to_owned(),
    }
}

fn cloud_word(severity: u8) -> &'static str {
    match severity {
        0 => "clear",
        1 => "unknown",
        2 => "warning",
        3 => "minor",
        4 => "major",
        _ => "critical",
    }
}

#[cfg(test)]
mod tests;
