//! One syslog message, told apart: RFC 5424, RFC 3164 and what devices send in their place.
//!
//! Pure and borrowing; nothing is copied and nothing is ever thrown away: what has no place in a field stays in the
//! message. A text that is not syslog at all comes back whole as the message, with the reason.
//!
//! Our own parser, rather than a library's: it keeps the priority of free text, reads Cisco's headers and the odd tags of
//! real logs, and takes a third of the time (`benches/normalise.rs`). Tests compare it with `syslog_loose` on what both
//! understand.

mod rfc3164;
mod rfc5424;
mod tag;

use mutt_core::domain::event::SyslogSeverity;

use super::{structured_data::StructuredData, timestamp::Stamp};

/// What one message says. A field that the sender left out or wrote as `-` is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parsed<'a> {
    /// Facility and severity.
    pub priority: Option<Priority>,
    /// The device's time.
    pub stamp: Option<Stamp<'a>>,
    /// The device, by its own name or address; not bounded.
    pub hostname: Option<&'a str>,
    /// RFC 5424 APP-NAME or the RFC 3164 tag.
    pub program: Option<&'a str>,
    /// The process id, often not a number.
    pub procid: Option<&'a str>,
    /// RFC 5424 MSGID.
    pub msgid: Option<&'a str>,
    /// RFC 5424 STRUCTURED-DATA.
    pub structured_data: Option<StructuredData<'a>>,
    /// The text; may be empty.
    pub message: &'a str,
    /// Set when this is not syslog: then `message` is all there is.
    pub unparsed: Option<Unparsed>,
}

/// A PRI value, told apart: facility times eight plus severity (RFC 5424 section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// The facility's usual word.
    pub facility: &'static str,
    /// The severity.
    pub severity: SyslogSeverity,
}

/// Why a text is not syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unparsed {
    /// Neither a priority nor a time at the front: any text, or binary data.
    NoHeader,
    /// Something like a priority, but beyond 191.
    BadPriority,
}

impl Unparsed {
    /// The words for `_reason`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoHeader => "neither a priority nor a time at the front",
            Self::BadPriority => "the priority is beyond 191",
        }
    }
}

impl Priority {
    /// user.notice, what RFC 3164 section 4.3.3 gives to a message that has none.
    const MISSING: u8 = 13;

    /// The priority with this number; `None` beyond 191.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        const FACILITIES: [&str; 24] = [
            "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
            "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
            "local5", "local6", "local7",
        ];
        Some(Self {
            facility: FACILITIES.get(usize::from(number >> 3))?,
            severity: SyslogSeverity::new(number & 7)?,
        })
    }
}

/// Reads one message, which has no frame around it any more.
#[must_use]
pub fn parse(text: &str) -> Parsed<'_> {
    let text = text.trim_end_matches(['\n', '\r', '\0']);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body = text.trim_start_matches([' ', '\t']);
    let mut parsed = match priority(body) {
        Pri::Good(priority, rest) => with_priority(priority, rest),
        Pri::Bad => Parsed { message: text, unparsed: Some(Unparsed::BadPriority), ..Parsed::default() },
        Pri::None => without_priority(body).unwrap_or(Parsed {
            message: text,
            unparsed: Some(Unparsed::NoHeader),
            ..Parsed::default()
        }),
    };
    parsed.message = parsed.message.strip_prefix('\u{feff}').unwrap_or(parsed.message);
    parsed
}

fn with_priority(priority: Priority, rest: &str) -> Parsed<'_> {
    let rest = rest.trim_start_matches(' ');
    let parsed = rest.strip_prefix("1 ").and_then(rfc5424::parse).or_else(|| rfc3164::parse(rest));
    Parsed { priority: Some(priority), ..parsed.unwrap_or_else(|| rfc3164::parse_headless(rest)) }
}

fn without_priority(body: &str) -> Option<Parsed<'_>> {
    let parsed = body.strip_prefix("1 ").and_then(rfc5424::parse).or_else(|| rfc3164::parse(body))?;
    // A lone mnemonic is a header behind a priority only.
    parsed.stamp.map(|_| Parsed { priority: Priority::new(Priority::MISSING), ..parsed })
}

enum Pri<'a> {
    Good(Priority, &'a str),
    /// `<` digits `>` with a number that no priority has.
    Bad,
    None,
}

fn priority(text: &str) -> Pri<'_> {
    let Some(after) = text.strip_prefix('<') else {
        return Pri::None;
    };
    let digits = after.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let Some((number, rest)) = after.split_at_checked(digits) else {
        return Pri::None;
    };
    match (digits, rest.strip_prefix('>')) {
        (1..=3, Some(rest)) => {
            number.parse().ok().and_then(Priority::new).map_or(Pri::Bad, |priority| Pri::Good(priority, rest))
        }
        _ => Pri::None,
    }
}

/// Whether a text begins with a priority; a datagram of several lines is cut where this holds.
#[must_use]
pub fn begins_with_priority(text: &[u8]) -> bool {
    let Some((b'<', after)) = text.split_first() else {
        return false;
    };
    let digits = after.iter().take(3).take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && after.get(digits) == Some(&b'>')
}

#[cfg(test)]
mod tests;
