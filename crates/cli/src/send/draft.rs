//! One event to send, and its form on each wire.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use mutt_core::domain::event::SyslogSeverity;
use serde_json::{Map, Value, json};

/// RFC 5424 section 6.2.1 gives events without a severity none; this is what daemons use for plain messages.
const DEFAULT_SEVERITY: u8 = 6;
/// Longest APP-NAME (RFC 5424 section 6) and HOSTNAME (section 6.2.4), in characters.
const APP_NAME_MAX: usize = 48;
const HOSTNAME_MAX: usize = 255;

/// An event before it has a wire form.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Draft {
    /// Empty when the file did not say.
    pub(crate) hostname: String,
    pub(crate) message: String,
    /// As the file has it; `None` takes the moment of sending.
    pub(crate) timestamp: Option<String>,
    pub(crate) severity: Option<SyslogSeverity>,
    pub(crate) program: Option<String>,
    /// The file's whole object: goes out over HTTP with all its fields.
    pub(crate) object: Option<Map<String, Value>>,
    /// The file's line: goes out over syslog byte for byte.
    pub(crate) line: Option<Vec<u8>>,
}

/// How syslog lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// `<134>1 2026-11-23T21:59:57.123456Z host program - - - text`
    Rfc5424,
    /// `<134>Nov 23 21:59:57 host program: text`
    Rfc3164,
}

impl Draft {
    /// The event as a JSON object: what the file had, with the required fields filled in.
    pub(crate) fn to_json(&self, now: DateTime<Utc>) -> Value {
        let mut object = self.object.clone().unwrap_or_default();
        let mut fill = |key: &str, value: Value| {
            if object.get(key).is_none_or(|present| present.is_null() || present == "") {
                object.insert(key.to_owned(), value);
            }
        };
        fill("hostname", json!(self.host()));
        fill("timestamp", json!(self.timestamp.clone().unwrap_or_else(|| rfc3339(now))));
        if let Some(severity) = self.severity {
            fill("syslog_severity", json!(severity.get()));
        }
        if let Some(program) = &self.program {
            fill("program", json!(program));
        }
        // Not `fill`: a mark may have been added to the text.
        object.insert("message".to_owned(), json!(self.message));
        Value::Object(object)
    }

    /// The event as a syslog line without an end mark; a line from a file is passed as it is.
    pub(crate) fn to_syslog(&self, format: Format, facility: u8, now: DateTime<Utc>) -> Vec<u8> {
        if let Some(line) = &self.line {
            return line.clone();
        }
        let severity = self.severity.map_or(DEFAULT_SEVERITY, SyslogSeverity::get);
        let priority = u16::from(facility) * 8 + u16::from(severity);
        let at = match &self.timestamp {
            Some(text) => DateTime::parse_from_rfc3339(text).map_or(now, |at| at.to_utc()),
            None => now,
        };
        let host = word(self.host(), HOSTNAME_MAX);
        let program = word(self.program.as_deref().unwrap_or("mutt-send"), APP_NAME_MAX);
        let text = &self.message;
        let line = match format {
            Format::Rfc5424 => format!("<{priority}>1 {} {host} {program} - - - {text}", rfc3339(at)),
            Format::Rfc3164 => {
                format!("<{priority}>{} {host} {program}: {text}", at.format("%b %e %H:%M:%S"))
            }
        };
        line.into_bytes()
    }

    /// Adds a mark to the text, by which the event can be found again behind any transport.
    pub(crate) fn mark(&mut self, reference: &str) {
        let (Ok(()) | Err(_)) = write!(self.message, " ref={reference}");
        if let Some(line) = &mut self.line {
            line.extend_from_slice(b" ref=");
            line.extend_from_slice(reference.as_bytes());
        }
    }

    /// Lets the event happen now, whatever the file says.
    pub(crate) fn restamp(&mut self, now: DateTime<Utc>) {
        self.timestamp = Some(rfc3339(now));
        if let Some(object) = &mut self.object {
            object.insert("timestamp".to_owned(), json!(rfc3339(now)));
        }
    }

    fn host(&self) -> &str {
        if self.hostname.is_empty() { "mutt-send" } else { &self.hostname }
    }
}

/// UTC with microseconds: as precise as RFC 5424 allows.
fn rfc3339(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Header fields of syslog are printable ASCII without spaces, of bounded length.
fn word(text: &str, longest: usize) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    text.chars().take(longest).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-03T21:59:57.123456Z").unwrap().to_utc()
    }

    fn draft() -> Draft {
        Draft {
            hostname: "core sw".into(),
            message: "fan \"2\" failed".into(),
            severity: SyslogSeverity::new(2),
            ..Draft::default()
        }
    }

    #[test]
    fn both_syslog_formats_carry_priority_host_and_text() {
        let line = |format| String::from_utf8(draft().to_syslog(format, 16, now())).unwrap();
        assert_eq!(
            line(Format::Rfc5424),
            "<130>1 2026-11-03T21:59:57.123456Z core_sw mutt-send - - - fan \"2\" failed"
        );
        assert_eq!(line(Format::Rfc3164), "<130>Nov  3 21:59:57 core_sw mutt-send: fan \"2\" failed");
    }

    #[test]
    fn an_object_keeps_its_fields_and_gets_what_is_required() {
        let object = json!({"rack": 7, "hostname": "", "syslog_severity": "Critical"});
        let draft = Draft { object: object.as_object().cloned(), ..draft() };
        assert_eq!(
            draft.to_json(now()),
            json!({
                "rack": 7, "hostname": "core sw", "syslog_severity": "Critical",
                "message": "fan \"2\" failed", "timestamp": "2026-11-03T21:59:57.123456Z",
            })
        );
    }

    #[test]
    fn a_line_of_a_file_passes_byte_for_byte_but_for_the_mark() {
        let mut draft = Draft { line: Some(b"<13>odd \xff".to_vec()), ..draft() };
        draft.mark("ab/1");
        assert_eq!(draft.to_syslog(Format::Rfc5424, 16, now()), b"<13>odd \xff ref=ab/1");
        assert!(draft.message.ends_with(" ref=ab/1"));
    }
}
