//! RFC 5424: `1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]`.

use super::{Parsed, StructuredData};
use crate::syslog::timestamp::Stamp;

/// Reads what follows the version; `None` when there is no time where one must be, so that it is something else.
pub(super) fn parse(text: &str) -> Option<Parsed<'_>> {
    let (stamp, rest) = match text.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
        Some(rest) => (None, rest),
        None => match Stamp::find(text) {
            Some((stamp, rest)) if stamp.is_rfc3339() => (Some(stamp), rest),
            _ => return meraki(text),
        },
    };
    let (hostname, rest) = token(rest);
    let (program, rest) = token(rest);
    let (procid, rest) = token(rest);
    let (msgid, rest) = token(rest);
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let (structured_data, message) = match StructuredData::find(rest) {
        Some((data, rest)) => (Some(data), rest),
        // A malformed or missing element is text: it stays in the message.
        None => (
            None,
            rest.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' ')).unwrap_or(rest),
        ),
    };
    let message = message.strip_prefix(' ').unwrap_or(message);
    // rsyslog puts a second blank before the text of a message that came in as RFC 3164.
    let message = message.strip_prefix(' ').unwrap_or(message);
    Some(Parsed { stamp, hostname, program, procid, msgid, structured_data, message, ..Parsed::default() })
}

/// Cisco Meraki: `1 1795471545.774247467 HOSTNAME text`, close to RFC 5424 and not it.
fn meraki(text: &str) -> Option<Parsed<'_>> {
    let (stamp, rest) = Stamp::find_epoch(text)?;
    let (hostname, rest) = token(rest);
    let message = rest.strip_prefix(' ').unwrap_or(rest);
    Some(Parsed { stamp: Some(stamp), hostname, message, ..Parsed::default() })
}

/// The next field after one blank; `-` means none.
fn token(text: &str) -> (Option<&str>, &str) {
    let text = text.strip_prefix(' ').unwrap_or(text);
    let (token, rest) = match memchr::memchr(b' ', text.as_bytes()).and_then(|end| text.split_at_checked(end))
    {
        Some(found) => found,
        None => (text, ""),
    };
    (Some(token).filter(|token| !matches!(*token, "" | "-")), rest)
}
