//! One syslog message made into a queue entry.
//!
//! Every message becomes an event, whatever its bytes; what had to be changed or guessed is flagged.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use mutt_core::{
    domain::event::{EventHeader, EventId, EventSource, EventTime, EventWriter, Flag, HOSTNAME_MAX_BYTES},
    queue::Item,
};

use super::{
    framing::{Cut, Frame},
    parse::{Parsed, parse},
};
use crate::flags::Flags;

/// A message as an entry for the queue.
#[derive(Debug)]
pub struct SyslogEvent {
    /// What is queued.
    pub item: Item,
    /// Whether the message was not syslog as any known device sends it.
    pub unparsed: bool,
}

/// Makes the event of a message that `peer` sent; `peer` is an address without its port.
pub fn event_of(frame: &Frame<'_>, peer: &str, received_at: DateTime<Utc>) -> SyslogEvent {
    let mut flags = Flags::default();
    let text = text_of(frame);
    let not_utf8 = matches!(text, Cow::Owned(_));
    flags.add_if(not_utf8, Flag::NotUtf8);
    flags.add_if(memchr::memchr(0, text.as_bytes()).is_some(), Flag::NulReplaced);
    flags.add_if(frame.cut.is_some(), Flag::MessageCut);
    let parsed = parse(&text);
    flags.add_if(parsed.unparsed.is_some(), Flag::SyslogUnparsed);
    let hostname = hostname(&parsed, peer, &mut flags);
    let time = event_time(&parsed, received_at);
    flags.add(time.flag);

    let id = EventId::new(received_at);
    let header = EventHeader {
        id,
        received_at,
        correlation_id: None,
        source: EventSource::Syslog,
        peer,
        traceparent: None,
        event_time: time.at,
        flags: flags.as_slice(),
    };
    let mut writer = EventWriter::new(&header, text.len() + 200);
    writer.text("hostname", hostname);
    writer.text("message", &message(&parsed, &text));
    match parsed.stamp {
        Some(stamp) => writer.text("timestamp", stamp.text),
        None => writer.text("timestamp", &received_at.to_rfc3339_opts(SecondsFormat::Micros, true)),
    };
    if let Some(priority) = parsed.priority {
        writer.number("syslog_severity", u64::from(priority.severity.get()));
        writer.text("severity", priority.severity.word());
        writer.text("facility", priority.facility);
    }
    for (name, value) in [("program", parsed.program), ("procid", parsed.procid), ("msgid", parsed.msgid)] {
        if let Some(value) = value {
            writer.text(name, value);
        }
    }
    if let Some(data) = parsed.structured_data.and_then(super::structured_data::StructuredData::to_json) {
        writer.raw("structured_data", &data);
    }
    if not_utf8 {
        writer.text("_raw_base64", &BASE64.encode(frame.bytes));
    }
    if let Some(reason) = reason(&parsed, frame.cut) {
        writer.text("_reason", reason);
    }
    let payload = Bytes::from(writer.finish());
    SyslogEvent { item: Item { id, payload, idempotency_key: None }, unparsed: parsed.unparsed.is_some() }
}

/// The message as text; owned exactly when it was not UTF-8.
fn text_of<'a>(frame: &Frame<'a>) -> Cow<'a, str> {
    match std::str::from_utf8(frame.bytes) {
        Ok(text) => Cow::Borrowed(text),
        // The limit may have fallen inside a character: that is a cut, not foreign bytes.
        Err(error) if frame.cut == Some(Cut::TooLong) && error.error_len().is_none() => {
            let whole = frame.bytes.get(..error.valid_up_to()).unwrap_or_default();
            String::from_utf8_lossy(whole)
        }
        Err(_) => Cow::Owned(String::from_utf8_lossy(frame.bytes).into_owned()),
    }
}

fn hostname<'a>(parsed: &Parsed<'a>, peer: &'a str, flags: &mut Flags) -> &'a str {
    let Some(hostname) = parsed.hostname.filter(|name| !name.trim().is_empty()) else {
        flags.add(Some(Flag::HostnameFromPeer));
        return peer;
    };
    if hostname.len() <= HOSTNAME_MAX_BYTES {
        return hostname;
    }
    flags.add(Some(Flag::HostnameCut));
    hostname.split_at(hostname.floor_char_boundary(HOSTNAME_MAX_BYTES)).0
}

/// The device's time, or the time of receipt with the reason.
fn event_time(parsed: &Parsed<'_>, received_at: DateTime<Utc>) -> EventTime {
    match parsed.stamp {
        Some(stamp) => stamp.event_time(received_at),
        None => EventTime { at: received_at, flag: Some(Flag::TimestampMissing) },
    }
}

/// The text that rules look at; the whole line when the header was all there is, as an event needs a message.
fn message<'a>(parsed: &Parsed<'a>, text: &'a str) -> Cow<'a, str> {
    if !parsed.message.trim().is_empty() {
        return Cow::Borrowed(parsed.message);
    }
    match text.trim() {
        // Blanks that only Unicode knows.
        "" => Cow::Owned(text.escape_unicode().to_string()),
        whole => Cow::Borrowed(whole),
    }
}

fn reason(parsed: &Parsed<'_>, cut: Option<Cut>) -> Option<&'static str> {
    match (parsed.unparsed, cut) {
        (_, Some(Cut::Unfinished)) => Some(Cut::Unfinished.as_str()),
        (Some(unparsed), _) => Some(unparsed.as_str()),
        (None, None | Some(Cut::TooLong)) => None,
    }
}

#[cfg(test)]
mod tests {
    use mutt_core::domain::event::Event;
    use serde_json::{Value, json};

    use super::*;

    const RECEIVED: &str = "2026-11-23T22:00:00.123456Z";

    fn event(bytes: &[u8], cut: Option<Cut>) -> Value {
        let received = DateTime::parse_from_rfc3339(RECEIVED).unwrap().to_utc();
        let made = event_of(&Frame { bytes, cut }, "192.0.2.7", received);
        let text = std::str::from_utf8(&made.item.payload).unwrap();
        Event::decode(text).unwrap();
        let mut value: Value = serde_json::from_str(text).unwrap();
        let id = value["_id"].take();
        assert_eq!(id, json!(made.item.id.to_string()));
        assert_eq!(value["_correlation_id"].take(), id);
        value.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        value
    }

    #[test]
    fn a_message_becomes_an_event_with_all_it_says() {
        let line = "<27>1 2026-11-23T21:45:45.919772+00:00 vm app 77 ID47 [ex@32473 k=\"v\"] \u{fc}n\u{ef}code \"x\"";
        assert_eq!(
            event(line.as_bytes(), None),
            json!({
                "_received_at": RECEIVED,
                "_source": "syslog",
                "_peer": "192.0.2.7",
                "_event_time": "2026-11-23T21:45:45.919772Z",
                "hostname": "vm",
                "message": "\u{fc}n\u{ef}code \"x\"",
                "timestamp": "2026-11-23T21:45:45.919772+00:00",
                "syslog_severity": 3,
                "severity": "error",
                "facility": "daemon",
                "program": "app",
                "procid": "77",
                "msgid": "ID47",
                "structured_data": {"ex@32473": {"k": "v"}},
            })
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_kept_beside_the_text() {
        let value = event(b"<13>Nov 23 21:45:45 h app: caf\xe9", None);
        assert_eq!(value["message"], "caf\u{fffd}");
        assert_eq!(value["_flags"], json!(["not_utf8"]));
        assert_eq!(
            BASE64.decode(value["_raw_base64"].as_str().unwrap()).unwrap(),
            b"<13>Nov 23 21:45:45 h app: caf\xe9"
        );
        assert_eq!(value.get("_reason"), None);
    }

    #[test]
    fn garbage_becomes_an_event_of_its_peer_with_a_reason() {
        let value = event(b"\x00\x01\xff garbage", None);
        assert_eq!(value["hostname"], "192.0.2.7");
        assert_eq!(value["timestamp"], RECEIVED);
        assert_eq!(value["_event_time"], RECEIVED);
        assert_eq!(value["_reason"], "neither a priority nor a time at the front");
        assert_eq!(
            value["_flags"],
            json!(["not_utf8", "nul_replaced", "syslog_unparsed", "hostname_from_peer", "timestamp_missing"])
        );
        assert_eq!(value.get("syslog_severity"), None);
    }

    #[test]
    fn a_cut_inside_a_character_is_not_foreign_bytes() {
        let value = event(
            "<13>Nov 23 21:45:45 h app: \u{20ac}".as_bytes().split_last().unwrap().1,
            Some(Cut::TooLong),
        );
        assert_eq!(value["_flags"], json!(["message_cut"]));
        assert_eq!(value["hostname"], "h");
        let value = event(b"<13>Nov 23 21:45:45 h app: half", Some(Cut::Unfinished));
        assert_eq!(value["_reason"], "the sender stopped in the middle of the message");
    }

    #[test]
    fn a_header_without_text_stays_an_event() {
        assert_eq!(event(b"<13>Nov 23 21:45:45 vm app:", None)["message"], "<13>Nov 23 21:45:45 vm app:");
        assert_eq!(event(b"<13>1 - - app - - -", None)["message"], "<13>1 - - app - - -");
        assert_eq!(event("\u{a0}".as_bytes(), None)["message"], "\\u{a0}");
        assert_eq!(event("<13>Nov 23 21:45:45 \u{a0} app: x".as_bytes(), None)["hostname"], "192.0.2.7");
    }

    #[test]
    fn a_long_host_name_is_cut_at_a_character() {
        let value = event(format!("<13>Nov 23 21:45:45 {} app: x", "\u{e9}".repeat(5000)).as_bytes(), None);
        assert_eq!(value["hostname"], "\u{e9}".repeat(127));
        assert_eq!(value["message"], "x");
        assert_eq!(value["_flags"], json!(["hostname_cut"]));
    }

    #[test]
    fn a_wrong_clock_is_flagged_and_its_text_kept() {
        for (year, flag) in [("1970", "timestamp_out_of_range"), ("2099", "timestamp_out_of_range")] {
            let value = event(format!("<13>1 {year}-01-01T00:00:00Z h a - - - x").as_bytes(), None);
            assert_eq!(value["timestamp"], format!("{year}-01-01T00:00:00Z"));
            assert_eq!(value["_event_time"], RECEIVED);
            assert_eq!(value["_flags"], json!([flag]));
        }
    }

    proptest::proptest! {
        /// Any bytes at all make an entry that the next stage can read.
        #[test]
        fn every_frame_makes_a_readable_event(
            head in proptest::prop_oneof![proptest::strategy::Just(Vec::new()), proptest::strategy::Just(b"<13>Nov 23 21:45:45 ".to_vec()),
                proptest::strategy::Just(b"<13>1 - ".to_vec())],
            tail in proptest::collection::vec(proptest::num::u8::ANY, 1..80),
        ) {
            let bytes = [head, tail].concat();
            let received = DateTime::parse_from_rfc3339(RECEIVED).unwrap().to_utc();
            for frame in super::super::framing::datagram(&bytes, 64) {
                let made = event_of(&frame, "192.0.2.7", received);
                let text = std::str::from_utf8(&made.item.payload).unwrap();
                proptest::prop_assert!(Event::decode(text).is_ok(), "{text}");
                proptest::prop_assert!(!text.contains("\\u0000"));
            }
        }
    }
}
