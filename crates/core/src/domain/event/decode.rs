//! Reads a queue entry, borrowing from it.

use std::{borrow::Cow, fmt};

use chrono::{DateTime, Utc};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{EventId, EventSource, SyslogSeverity, event_time};

/// A queue entry as the alerter sees it; every other field of the sender stays in `raw`, untouched.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// The event's id.
    pub id: EventId,
    /// When it was accepted; part of the audit row's key, so it is never recomputed.
    pub received_at: DateTime<Utc>,
    /// Joins the events of one request.
    pub correlation_id: Cow<'a, str>,
    /// The door it came in by; `None` for an entry that another producer pushed.
    pub source: Option<EventSource>,
    /// The device, never empty.
    pub hostname: Cow<'a, str>,
    /// The text that rules look at, never empty.
    pub message: Cow<'a, str>,
    /// When it happened, by the sender's word where that can be believed.
    pub event_time: DateTime<Utc>,
    /// The severity, when the sender gave a readable one.
    pub severity: Option<SyslogSeverity>,
    /// The trap's OID in dotted form without a leading dot.
    pub trap_oid: Option<Cow<'a, str>>,
    /// The program that wrote a syslog line.
    pub program: Option<Cow<'a, str>>,
    /// W3C trace context.
    pub traceparent: Option<Cow<'a, str>>,
    /// Failed attempts so far.
    pub retry_count: u32,
    /// The whole entry.
    pub raw: &'a str,
}

/// Why a queue entry cannot be an event; its bytes belong in the dead letters with this text.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The entry is not a JSON object.
    #[error("not a JSON object: {0}")]
    Json(#[source] serde_json::Error),
    /// A required field is missing, empty or not text.
    #[error("field `{0}` is missing, empty or not text")]
    Field(&'static str),
    /// No time of receipt, and none can be told from the id.
    #[error("no time of receipt: `_received_at` is missing and `_id` is not a UUIDv7")]
    Received,
}

impl<'a> Event<'a> {
    /// Reads an entry. Entries of other producers lack most reserved fields; those are derived from `_id`, the same
    /// way every time, so that a redelivered entry keeps its audit key.
    ///
    /// # Errors
    /// [`DecodeError`] when the entry can never be processed; retrying changes nothing.
    pub fn decode(raw: &'a str) -> Result<Self, DecodeError> {
        let fields: Fields<'a> = serde_json::from_str(raw).map_err(DecodeError::Json)?;
        let id = fields.id.map(EventId::from).ok_or(DecodeError::Field("_id"))?;
        let received_at = fields.received_at.or_else(|| id.made_at()).ok_or(DecodeError::Received)?;
        let text = |field: Option<Cow<'a, str>>, name| {
            field.filter(|text| !text.trim().is_empty()).ok_or(DecodeError::Field(name))
        };
        Ok(Self {
            id,
            received_at,
            correlation_id: fields.correlation_id.unwrap_or_else(|| Cow::Owned(id.to_string())),
            source: fields.source.as_deref().and_then(EventSource::from_word),
            hostname: text(fields.hostname, "hostname")?,
            message: text(fields.message, "message")?,
            event_time: fields.event_time.unwrap_or_else(|| {
                event_time(fields.timestamp.as_deref().unwrap_or_default(), received_at).at
            }),
            severity: fields.syslog_severity.or(fields.severity),
            trap_oid: fields.trap_oid.filter(|oid| !oid.is_empty()),
            program: fields.program.filter(|program| !program.is_empty()),
            traceparent: fields.traceparent,
            retry_count: fields.retry_count,
            raw,
        })
    }
}

/// The fields that MUTT looks at, with the last of a repeated name winning, as senders' own parsers do.
#[derive(Default)]
struct Fields<'a> {
    id: Option<Uuid>,
    received_at: Option<DateTime<Utc>>,
    correlation_id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    traceparent: Option<Cow<'a, str>>,
    event_time: Option<DateTime<Utc>>,
    retry_count: u32,
    hostname: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    timestamp: Option<Cow<'a, str>>,
    syslog_severity: Option<SyslogSeverity>,
    severity: Option<SyslogSeverity>,
    trap_oid: Option<Cow<'a, str>>,
    program: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            match &*key {
                "_id" => fields.id = uuid(map.next_value()?).filter(|_| fields.id.is_none()).or(fields.id),
                "_received_at" => fields.received_at = instant(map.next_value()?),
                "_correlation_id" => fields.correlation_id = text(map.next_value()?),
                "_source" => fields.source = text(map.next_value()?),
                "_traceparent" => fields.traceparent = text(map.next_value()?),
                "_event_time" => fields.event_time = instant(map.next_value()?),
                "_retry_count" => {
                    fields.retry_count = map.next_value::<&RawValue>()?.get().parse().unwrap_or(0);
                }
                "hostname" => fields.hostname = text(map.next_value()?),
                "message" => fields.message = text(map.next_value()?),
                "timestamp" => fields.timestamp = scalar(map.next_value()?),
                "syslog_severity" => fields.syslog_severity = severity(map.next_value()?),
                "severity" => fields.severity = severity(map.next_value()?),
                "trap_oid" => fields.trap_oid = text(map.next_value()?),
                "program" => fields.program = text(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// A string that borrows from the entry unless it holds an escape.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str(value.get()).ok().map(|Text(text)| text)
}

/// Text, or a number as its text: senders write times as both.
fn scalar(value: &RawValue) -> Option<Cow<'_, str>> {
    text(value)
        .or_else(|| value.get().bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| value.get().into()))
}

fn severity(value: &RawValue) -> Option<SyslogSeverity> {
    SyslogSeverity::from_text(&scalar(value)?)
}

fn instant(value: &RawValue) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(&text(value)?).ok().map(|at| at.to_utc())
}

fn uuid(value: &RawValue) -> Option<Uuid> {
    Uuid::try_parse(&text(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_ingestor_reads_back() {
        let raw = concat!(
            r#"{"_id":"01920000-0000-7000-8000-000000000001","_received_at":"2025-11-13T02:13:20.123456Z","#,
            r#""_correlation_id":"req-1","_source":"syslog","_peer":"192.0.2.7","_event_time":"2025-11-13T02:13:19Z","#,
            r#""hostname":"sw1","message":"say \"hi\"","syslog_severity":3,"trap_oid":"1.3.6","extra":{"deep":[1,2]}}"#
        );
        let event = Event::decode(raw).unwrap();
        assert_eq!(event.correlation_id, "req-1");
        assert_eq!(event.message, "say \"hi\"");
        assert!(matches!(event.hostname, Cow::Borrowed("sw1")));
        assert_eq!(event.severity.map(SyslogSeverity::get), Some(3));
        assert_eq!(event.trap_oid.as_deref(), Some("1.3.6"));
        assert_eq!(event.source, Some(EventSource::Syslog));
        assert_eq!(event.event_time.timestamp(), 1_762_999_999);
    }

    #[test]
    fn an_entry_of_another_producer_takes_its_time_from_its_stamped_id() {
        let raw = r#"{"_id":"019a7b0c-0000-7000-8000-000000000001","hostname":"h","message":"m","timestamp":"?","severity":"err"}"#;
        let event = Event::decode(raw).unwrap();
        assert_eq!(Some(event.received_at), event.id.made_at());
        assert_eq!(event.event_time, event.received_at);
        assert_eq!(event.severity.map(SyslogSeverity::get), Some(3));
        assert_eq!(event.source, None);
    }

    #[test]
    fn the_first_id_and_the_last_of_other_repeated_fields_win() {
        let raw = r#"{"_id":"019a7b0c-0000-7000-8000-000000000001","_id":"019a7b0c-0000-7000-8000-00000000000f","hostname":"a","hostname":"b","message":"m"}"#;
        let event = Event::decode(raw).unwrap();
        assert_eq!(event.id.to_string(), "019a7b0c-0000-7000-8000-000000000001");
        assert_eq!(event.hostname, "b");
    }

    #[test]
    fn what_can_never_be_an_event_says_why() {
        let id = r#""_id":"019a7b0c-0000-7000-8000-000000000001""#;
        for (raw, expected) in [
            ("[1]".to_owned(), "not a JSON object"),
            ("{".to_owned(), "not a JSON object"),
            (format!(r#"{{{id},"message":"m"}}"#), "`hostname`"),
            (format!(r#"{{{id},"hostname":"h","message":"  "}}"#), "`message`"),
            (format!(r#"{{{id},"hostname":7,"message":"m"}}"#), "`hostname`"),
            (
                r#"{"_id":"00000000-0000-0000-0000-000000000000","hostname":"h","message":"m"}"#.into(),
                "UUIDv7",
            ),
        ] {
            let error = Event::decode(&raw).unwrap_err().to_string();
            assert!(error.contains(expected), "{raw}: {error}");
        }
    }
}
