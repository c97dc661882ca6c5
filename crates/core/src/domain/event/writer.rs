//! Writes a queue entry.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;

use super::{EventId, EventSource, Flag};

/// What MUTT itself says about an event.
#[derive(Debug, Clone, Copy)]
pub struct EventHeader<'a> {
    /// The event's id.
    pub id: EventId,
    /// When the last byte of it was read.
    pub received_at: DateTime<Utc>,
    /// Joins the events of one request; the event's own id when `None`.
    pub correlation_id: Option<&'a str>,
    /// The door it came in by.
    pub source: EventSource,
    /// The sender's address, without the port.
    pub peer: &'a str,
    /// W3C trace context of the request, when it carried one.
    pub traceparent: Option<&'a str>,
    /// When it happened: the result of [`super::event_time`].
    pub event_time: DateTime<Utc>,
    /// What had to be changed or guessed.
    pub flags: &'a [Flag],
}

/// Builds one queue entry front to back: reserved fields, then the sender's in the order they are added.
///
/// The caller adds each name once and never a name that begins with `_`, other than `_reason` and `_raw_base64`.
#[derive(Debug)]
pub struct EventWriter(Vec<u8>);

impl EventWriter {
    /// Starts an entry; `body_bytes` is how much the sender's fields will take, to allocate once.
    #[must_use]
    pub fn new(header: &EventHeader<'_>, body_bytes: usize) -> Self {
        let mut out = Vec::with_capacity(body_bytes + 320);
        let mut id = [0; 36];
        let id: &str = header.id.as_uuid().as_hyphenated().encode_lower(&mut id);
        // `_id` first and unescaped: scripts cut it out by position.
        out.extend_from_slice(b"{\"_id\":\"");
        out.extend_from_slice(id.as_bytes());
        out.push(b'"');
        let mut writer = Self(out);
        writer.instant("_received_at", header.received_at);
        writer.text("_correlation_id", header.correlation_id.unwrap_or(id));
        writer.text("_source", header.source.as_str());
        writer.text("_peer", header.peer);
        if let Some(traceparent) = header.traceparent {
            writer.text("_traceparent", traceparent);
        }
        writer.instant("_event_time", header.event_time);
        if !header.flags.is_empty() {
            writer.name("_flags");
            for (at, flag) in header.flags.iter().enumerate() {
                writer.0.extend_from_slice(if at == 0 { b"[\"" } else { b",\"" });
                writer.0.extend_from_slice(flag.as_str().as_bytes());
                writer.0.push(b'"');
            }
            writer.0.push(b']');
        }
        writer
    }

    /// Adds a text field.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.string(value);
        self
    }

    /// Adds a number field.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.name(name);
        self.0.extend_from_slice(value.to_string().as_bytes());
        self
    }

    /// Adds a field as the sender wrote it, after [`replace_nul`].
    pub fn raw(&mut self, name: &str, value: &RawValue) -> &mut Self {
        self.name(name);
        self.0.extend_from_slice(replace_nul(value.get()).as_bytes());
        self
    }

    /// Closes the object.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn name(&mut self, name: &str) {
        self.0.push(b',');
        self.string(name);
        self.0.push(b':');
    }

    fn string(&mut self, value: &str) {
        let plain = value.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
        if plain {
            self.0.push(b'"');
            self.0.extend_from_slice(value.as_bytes());
            self.0.push(b'"');
        } else if value.contains('\0') {
            self.string(&value.replace('\0', "\u{fffd}"));
        } else {
            // Writing a string into memory cannot fail.
            let _infallible = serde_json::to_writer(&mut self.0, value);
        }
    }

    fn instant(&mut self, name: &str, at: DateTime<Utc>) {
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(at.to_rfc3339_opts(SecondsFormat::Micros, true).as_bytes());
        self.0.push(b'"');
    }
}

/// Replaces the escape of NUL in JSON text by that of U+FFFD, because PostgreSQL text cannot hold NUL.
///
/// An escaped backslash before `u0000` is text, not an escape, and stays.
#[must_use]
pub fn replace_nul(json: &str) -> Cow<'_, str> {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        // An escape is two characters, or six for `\uXXXX`; skipping it whole keeps `\\u0000` apart from `\u0000`.
        let taken = if escape.starts_with(NUL) {
            out.push_str("\\ufffd");
            NUL.len()
        } else {
            let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
            out.push_str(escape.split_at(end).0);
            end
        };
        rest = escape.split_at(taken).1;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn header(flags: &[Flag]) -> EventHeader<'_> {
        let at = DateTime::from_timestamp_micros(1_763_000_000_123_456).unwrap();
        EventHeader {
            id: EventId::from(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001)),
            received_at: at,
            correlation_id: None,
            source: EventSource::Syslog,
            peer: "192.0.2.7",
            traceparent: None,
            event_time: at,
            flags,
        }
    }

    #[test]
    fn reserved_fields_come_first_and_the_id_stands_at_bytes_8_to_44() {
        let mut writer = EventWriter::new(&header(&[Flag::MessageCut, Flag::NotUtf8]), 64);
        writer.text("hostname", "sw\"1").number("syslog_severity", 3);
        let json = String::from_utf8(writer.finish()).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"_id":"01920000-0000-7000-8000-000000000001","_received_at":"2025-11-13T02:13:20.123456Z","#,
                r#""_correlation_id":"01920000-0000-7000-8000-000000000001","_source":"syslog","_peer":"192.0.2.7","#,
                r#""_event_time":"2025-11-13T02:13:20.123456Z","_flags":["message_cut","not_utf8"],"#,
                r#""hostname":"sw\"1","syslog_severity":3}"#
            )
        );
        assert_eq!(json.get(8..44), Some("01920000-0000-7000-8000-000000000001"));
    }

    #[test]
    fn nul_is_replaced_in_text_and_in_raw_json() {
        let mut writer = EventWriter::new(&header(&[]), 64);
        writer
            .text("message", "a\0b")
            .raw("x", serde_json::from_str(r#"{"k":"\u0000 \\u0000 \\\u0000"}"#).unwrap());
        let value: serde_json::Value = serde_json::from_slice(&writer.finish()).unwrap();
        assert_eq!(value["message"], "a\u{fffd}b");
        assert_eq!(value["x"]["k"], "\u{fffd} \\u0000 \\\u{fffd}");
    }
}
