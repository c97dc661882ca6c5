//! One JSON object made into a queue entry.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use mutt_core::{
    domain::event::{
        EventHeader, EventId, EventSource, EventWriter, Flag, HOSTNAME_MAX_BYTES, SyslogSeverity, event_time,
    },
    queue::Item,
};

use super::{
    Foreign, MAX_DEPTH, Refusal, Request, Rules,
    fields::{Fields, FieldsError},
    value::{depth, is_blank, oid, scalar, severity, storable, trimmed, unframed},
};
use crate::flags::Flags;

/// Why a piece of text made no event.
pub(super) enum Problem {
    /// Not JSON by itself; perhaps because the object goes on after the line.
    NotWhole(serde_json::Error),
    /// It never will.
    Refused(Refusal),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Makes the entry of the `index`-th object of a request; `fields` is scratch space.
pub(super) fn event_of<'a>(
    piece: &'a str,
    index: usize,
    rules: &Rules,
    request: &Request<'_>,
    foreign: Foreign<'_>,
    fields: &mut Fields<'a>,
) -> Result<Item, Problem> {
    if piece.len() > rules.max_event_bytes {
        return Err(Refusal::too_large(rules.max_event_bytes).into());
    }
    fields.read(piece).map_err(|error| match error {
        FieldsError::NotObject => Problem::Refused(Refusal::not_object()),
        FieldsError::Json(error) => Problem::NotWhole(error),
    })?;
    let known = Known::of(fields, rules)?;
    let time = event_time(known.timestamp.as_deref().unwrap_or_default(), request.received_at);
    let mut flags = Flags::default();
    flags.add(time.flag);
    flags.add_if(known.severity_unreadable, Flag::SeverityUnreadable);
    flags.add_if(known.hostname.is_none(), Flag::HostnameFromPeer);
    flags.add_if(foreign.any && piece.contains('\u{fffd}'), Flag::NotUtf8);
    flags.add_if(piece.contains("\\u0000"), Flag::NulReplaced);

    let id = request.first_id.filter(|_| index == 0).unwrap_or_else(|| EventId::new(request.received_at));
    let header = EventHeader {
        id,
        received_at: request.received_at,
        correlation_id: request.correlation_id,
        source: EventSource::Http,
        peer: request.peer,
        traceparent: request.traceparent,
        event_time: time.at,
        flags: flags.as_slice(),
    };
    let mut writer = EventWriter::new(&header, piece.len());
    write_fields(&mut writer, fields, &known, request.peer, piece);
    if let Some(bytes) = foreign.line {
        writer.text("_raw_base64", &BASE64.encode(bytes));
    }
    let payload = Bytes::from(writer.finish());
    Ok(Item { id, payload, idempotency_key: idempotency_key(&known, index, request) })
}

/// What the fields that MUTT looks at say.
#[derive(Default)]
struct Known<'a> {
    hostname: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    timestamp: Option<Cow<'a, str>>,
    /// By `syslog_severity`, else by `severity`.
    severity: Option<SyslogSeverity>,
    severity_unreadable: bool,
    event_id: Option<Cow<'a, str>>,
}

impl<'a> Known<'a> {
    /// Reads them, and refuses what may not be queued, naming every fault at once.
    fn of(fields: &Fields<'a>, rules: &Rules) -> Result<Self, Refusal> {
        let mut known = Self::default();
        let mut by_word = None;
        let mut wrong = Vec::new();
        for (name, value) in fields.iter() {
            let json = value.get();
            if json.starts_with(['{', '[']) && depth(json) > MAX_DEPTH {
                return Err(Refusal::too_deep(name, MAX_DEPTH));
            }
            match name {
                "hostname" if !is_blank(value) => match scalar(value).map(trimmed) {
                    Some(text) if text.len() <= HOSTNAME_MAX_BYTES => known.hostname = Some(text),
                    Some(_) => wrong.push(("hostname", format!("is longer than {HOSTNAME_MAX_BYTES} bytes"))),
                    None => wrong.push(("hostname", "is not text".to_owned())),
                },
                "message" if !is_blank(value) => match scalar(value).map(unframed) {
                    Some(text) => known.message = Some(text),
                    None => wrong.push(("message", "is not text".to_owned())),
                },
                "timestamp" if !is_blank(value) => {
                    known.timestamp = Some(scalar(value).unwrap_or(Cow::Borrowed(json)));
                }
                "syslog_severity" if !is_blank(value) => {
                    known.severity = severity(value);
                    known.severity_unreadable = known.severity.is_none();
                }
                "severity" => by_word = severity(value),
                "event_id" if !is_blank(value) => known.event_id = scalar(value),
                _ => {}
            }
        }
        known.severity = known.severity.or(by_word);
        let missing: Vec<&str> = rules
            .required
            .iter()
            .map(String::as_str)
            .filter(|name| {
                fields.get(name).is_none_or(is_blank) && wrong.iter().all(|(wrong, _)| wrong != name)
            })
            .collect();
        if missing.is_empty() && wrong.is_empty() {
            Ok(known)
        } else {
            Err(Refusal::fields(&missing, &wrong))
        }
    }
}

fn write_fields(writer: &mut EventWriter, fields: &Fields<'_>, known: &Known<'_>, peer: &str, piece: &str) {
    let severity = known.severity.map(|severity| u64::from(severity.get()));
    let mut severity_due = severity;
    // Both are only missing where the settings allow it; the next stage needs something to look at all the same.
    if known.hostname.is_none() {
        writer.text("hostname", peer);
    }
    if known.message.is_none() {
        writer.text("message", piece);
    }
    for (name, value) in fields.iter() {
        match name {
            "hostname" => {
                if let Some(hostname) = &known.hostname {
                    writer.text(name, hostname);
                }
            }
            "message" => {
                if let Some(message) = &known.message {
                    writer.text(name, message);
                }
            }
            "syslog_severity" if severity.is_some() => {
                if let Some(severity) = severity_due.take() {
                    writer.number(name, severity);
                }
            }
            "trap_oid" => match oid(value) {
                Some(oid) => {
                    writer.text(name, &oid);
                }
                None => {
                    writer.raw(name, &storable(value));
                }
            },
            _ => {
                writer.raw(name, &storable(value));
            }
        }
    }
    if let Some(severity) = severity_due {
        writer.number("syslog_severity", severity);
    }
}

/// What the sender promised to be the same event each time; bound to who promised it.
fn idempotency_key(known: &Known<'_>, index: usize, request: &Request<'_>) -> Option<String> {
    let who = request.key_name;
    match (&known.event_id, request.idempotency_key) {
        (Some(event_id), _) => {
            // Devices count their own events: the host belongs to the id.
            let host = known.hostname.as_deref().unwrap_or(request.peer);
            Some(format!("event\n{who}\n{host}\n{event_id}"))
        }
        (None, Some(key)) => Some(format!("request\n{who}\n{key}\n{index}")),
        (None, None) => None,
    }
}
