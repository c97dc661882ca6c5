//! The two interfaces of Moogsoft, as far as public text shows: what they take and how they answer.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest signature that Moogsoft's database takes.
const SIGNATURE_MAX_BYTES: usize = 767;
/// The largest event that Moogsoft takes.
const EVENT_MAX_BYTES: usize = 128 << 10;

/// Which interface a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// On premises: the webhook or REST module.
    Webhook,
    /// The Events API of the cloud service.
    Cloud,
}

impl Dialect {
    /// The interface behind a path; `None` where on premises only the web console answers.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v1/integrations/events" => Some(Self::Cloud),
            "/" | "/events" | "/api/v1/events" => Some(Self::Webhook),
            _ => path.strip_prefix("/events/").is_some_and(|name| !name.is_empty()).then_some(Self::Webhook),
        }
    }
}

/// The fields that are checked or counted.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, default)]
    external_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    check: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    severity: Option<Severity<'a>>,
    #[serde(borrow, default)]
    tags: Option<Tags<'a>>,
}

#[derive(Debug, Deserialize)]
struct Tags<'a> {
    #[serde(borrow, default)]
    external_id: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Severity<'a> {
    Number(i64),
    Word(#[serde(borrow)] Cow<'a, str>),
}

impl Event<'_> {
    /// What copies are told by: the webhook's field, or in the cloud the tag that stands in for it.
    pub(super) fn id(&self) -> Option<&str> {
        let tag = self.tags.as_ref().and_then(|tags| tags.external_id.as_deref());
        self.external_id.as_deref().or(tag)
    }

    fn fault(&self, dialect: Dialect) -> Option<String> {
        let missing = |field: Option<&str>| field.is_none_or(|text| text.trim().is_empty());
        let required: &[(&str, Option<&str>)] = match dialect {
            Dialect::Webhook => &[
                ("signature", self.signature.as_deref()),
                ("source", self.source.as_deref()),
                ("description", self.description.as_deref()),
            ],
            Dialect::Cloud => &[
                ("source", self.source.as_deref()),
                ("check", self.check.as_deref()),
                ("description", self.description.as_deref()),
            ],
        };
        if let Some((name, _)) = required.iter().find(|(_, field)| missing(*field)) {
            return Some(format!("{name} is required"));
        }
        if self.signature.as_ref().is_some_and(|signature| signature.len() > SIGNATURE_MAX_BYTES) {
            return Some(format!("signature is longer than {SIGNATURE_MAX_BYTES} bytes"));
        }
        let known = match &self.severity {
            Some(Severity::Number(number)) => (0..=5).contains(number),
            Some(Severity::Word(word)) if dialect == Dialect::Cloud => {
                ["clear", "unknown", "warning", "minor", "major", "critical"]
                    .iter()
                    .any(|known| word.eq_ignore_ascii_case(known))
            }
            _ => false,
        };
        (!known).then(|| "severity is not on the scale".to_owned())
    }
}

/// Reads and checks a body: one event or, wrapped as the dialect wraps them, several.
///
/// # Errors
/// The status to answer and why.
pub(super) fn read(dialect: Dialect, body: &[u8]) -> Result<Vec<Event<'_>>, (StatusCode, String)> {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        events: Vec<Event<'a>>,
    }
    let unreadable =
        |error: serde_json::Error| (StatusCode::BAD_REQUEST, format!("invalid request body: {error}"));
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let events = match (first, dialect) {
        (Some(b'['), Dialect::Cloud) => serde_json::from_slice(body).map_err(unreadable)?,
        (Some(b'{'), Dialect::Webhook) => match serde_json::from_slice::<Wrapped<'_>>(body) {
            Ok(wrapped) => wrapped.events,
            Err(_) => vec![serde_json::from_slice(body).map_err(unreadable)?],
        },
        (Some(b'{'), Dialect::Cloud) => vec![serde_json::from_slice(body).map_err(unreadable)?],
        _ => return Err((StatusCode::BAD_REQUEST, "invalid request body: not an event".to_owned())),
    };
    if events.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "no events".to_owned()));
    }
    if body.len() / events.len() > EVENT_MAX_BYTES {
        return Err((
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("an event is larger than {EVENT_MAX_BYTES} bytes"),
        ));
    }
    match events.iter().find_map(|event| event.fault(dialect)) {
        Some(fault) => Err((StatusCode::BAD_REQUEST, fault)),
        None => Ok(events),
    }
}

/// The body of a good answer for `events` events.
pub(super) fn success(dialect: Dialect, status: StatusCode, events: usize) -> Value {
    match dialect {
        Dialect::Cloud => json!({}),
        Dialect::Webhook => {
            let (processed, cached) = if status == StatusCode::ACCEPTED { (0, events) } else { (events, 0) };
            let code = if cached > 0 { 5003 } else { 0 };
            let counts = json!({ "received": events, "processed": processed, "cached": cached });
            json!({ "success": true, "message": format!("Processed {events} requests"), "statusCode": code,
                "response": counts })
        }
    }
}

/// The body of a refusal.
pub(super) fn refusal(dialect: Dialect, status: StatusCode, message: &str) -> Value {
    match (dialect, status.as_u16()) {
        (Dialect::Cloud, 401) => json!({ "status": "error", "message": message }),
        (Dialect::Cloud, code) => {
            json!({ "http_status_code": code, "messages": [{ "code": code, "severity": "ERROR", "message": message }] })
        }
        (Dialect::Webhook, code) => {
            let code = match code {
                401 => 3001,
                405 => 4001,
                415 => 5001,
                400 => 5002,
                _ => 1000,
            };
            json!({ "success": false, "message": message, "statusCode": code })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEBHOOK: &str =
        r#"{"signature":"h::c","source":"h","description":"d","severity":5,"external_id":"1"}"#;
    const CLOUD: &str =
        r#"{"source":"h","check":"c","description":"d","severity":"Critical","tags":{"external_id":"1"}}"#;

    fn status(dialect: Dialect, body: &str) -> u16 {
        read(dialect, body.as_bytes()).map_or_else(|(status, _)| status.as_u16(), |_| 200)
    }

    #[test]
    fn both_dialects_take_one_event_or_several() {
        for (dialect, body) in [
            (Dialect::Webhook, WEBHOOK.to_owned()),
            (Dialect::Webhook, format!(r#"{{"events":[{WEBHOOK},{WEBHOOK}]}}"#)),
            (Dialect::Cloud, CLOUD.to_owned()),
            (Dialect::Cloud, format!("[{CLOUD},{CLOUD}]")),
        ] {
            let events = read(dialect, body.as_bytes()).unwrap();
            assert!(events.iter().all(|event| event.id() == Some("1")), "{body}");
        }
    }

    #[test]
    fn what_moogsoft_would_refuse_is_refused() {
        let with = |from: &str, to: &str| WEBHOOK.replace(from, to);
        assert_eq!(status(Dialect::Webhook, &with("5", "6")), 400);
        assert_eq!(status(Dialect::Webhook, &with("5", "\"Critical\"")), 400);
        assert_eq!(status(Dialect::Webhook, &with("h::c", &"x".repeat(768))), 400);
        assert_eq!(status(Dialect::Webhook, &with("\"source\":\"h\",", "")), 400);
        assert_eq!(status(Dialect::Webhook, &with("\"d\"", &format!("{:?}", "d".repeat(200_000)))), 413);
        assert_eq!(status(Dialect::Cloud, &CLOUD.replace("Critical", "fatal")), 400);
        for body in ["", "nonsense", "[1]", "{}", r#"{"events":[]}"#, &format!("[{WEBHOOK}]")] {
            assert_eq!(status(Dialect::Webhook, body), 400, "{body}");
        }
    }

    #[test]
    fn paths_lead_where_they_do_on_a_real_one() {
        assert_eq!(Dialect::of_path("/events/webhook_webhook1"), Some(Dialect::Webhook));
        assert_eq!(Dialect::of_path("/v1/integrations/events"), Some(Dialect::Cloud));
        assert_eq!(Dialect::of_path("/evnts/webhook_webhook1"), None);
        assert_eq!(Dialect::of_path("/events/"), None);
    }
}
