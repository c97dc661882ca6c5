//! RFC 3164, with the headers that Cisco writes instead.
//!
//! ```text
//! Nov 23 21:45:45 vm sshd[12]: text              RFC 3164
//! 2026-11-23T21:46:30+00:00 vm app: text         the same with an RFC 3339 time, as rsyslog forwards it
//! 29: *Oct 11 22:14:15.123 UTC: %LINK-3-UPDOWN: text      IOS: sequence number, clock mark, no host
//! Oct 11 2023 22:14:15 fw1 : %ASA-6-302013: text          ASA
//! : 2026 Oct 11 22:14:15 UTC: %ETHPORT-5-IF_UP: text      NX-OS
//! 123: RP/0/RSP0/CPU0:Oct 11 22:14:15.123 : ifmgr[201]: %PKT_INFRA-LINK-3-UPDOWN : text    IOS XR
//! ```

use super::{
    Parsed,
    tag::{Tag, is_mnemonic},
};
use crate::syslog::timestamp::Stamp;

/// How AIX's syslogd marks what it relays.
const AIX_RELAY: &str = "Message forwarded from ";

/// Reads a header with a time or, behind Cisco's prefixes, a mnemonic; `None` when there is neither.
pub(super) fn parse(text: &str) -> Option<Parsed<'_>> {
    match Stamp::find(text) {
        Some((stamp, rest)) => Some(after_stamp(stamp, None, rest)),
        None => cisco(text),
    }
}

/// Reads a text that had a priority and nothing else before it: only an unmistakable tag is split off.
pub(super) fn parse_headless(text: &str) -> Parsed<'_> {
    match Tag::find(text) {
        Some(Tag { program, procid: Some(procid), rest }) => {
            Parsed { program: Some(program), procid: Some(procid), message: rest, ..Parsed::default() }
        }
        _ => Parsed { message: text, ..Parsed::default() },
    }
}

fn after_stamp<'a>(stamp: Stamp<'a>, origin: Option<&'a str>, rest: &'a str) -> Parsed<'a> {
    let tail = rest.trim_start_matches([' ', '\t']);
    let parsed = match tail.strip_prefix(':') {
        // A colon after the time: Cisco, which names the host before the time or not at all.
        Some(tail) => body(tail.trim_start_matches(' ')),
        None => host_and_body(tail),
    };
    Parsed { stamp: Some(stamp), hostname: parsed.hostname.or(origin), ..parsed }
}

fn host_and_body(text: &str) -> Parsed<'_> {
    if let Some((host, rest)) = text.strip_prefix(AIX_RELAY).and_then(|relayed| relayed.split_once(": ")) {
        return Parsed { hostname: Some(host), ..body(rest) };
    }
    let only_message = || Parsed { message: text, ..Parsed::default() };
    if is_mnemonic(text) {
        return only_message();
    }
    if let Some(tag) = Tag::find(text) {
        // The host was left out, unless what looks like a tag stands before a mnemonic.
        return match tag {
            Tag { program, procid: None, rest } if is_mnemonic(rest) => {
                Parsed { hostname: Some(program), message: rest, ..Parsed::default() }
            }
            Tag { program, procid, rest } => {
                Parsed { program: Some(program), procid, message: rest, ..Parsed::default() }
            }
        };
    }
    let Some((host, rest)) = text.split_once(' ') else {
        return only_message();
    };
    if !is_host_like(host) {
        return only_message();
    }
    let rest = rest.trim_start_matches(' ');
    let behind_colon =
        rest.strip_prefix(':').map(|rest| rest.trim_start_matches(' ')).filter(|rest| is_mnemonic(rest));
    Parsed { hostname: Some(host), ..body(behind_colon.unwrap_or(rest)) }
}

/// Tag and text, after the host.
fn body(text: &str) -> Parsed<'_> {
    let only_message = Parsed { message: text, ..Parsed::default() };
    if is_mnemonic(text) {
        return only_message;
    }
    match Tag::find(text).or_else(|| Tag::find_with_blanks(text)) {
        Some(Tag { program, procid: None, rest }) if is_number(program) => {
            // A relay put its own header before Cisco's: `host 29: *Oct 11 22:14:15: %LINK-3-UPDOWN: text`.
            let relayed = cisco(rest).map(|inner| inner.message).filter(|message| is_mnemonic(message));
            relayed.map_or(only_message, |message| Parsed { message, ..Parsed::default() })
        }
        Some(Tag { program, procid, rest }) => {
            Parsed { program: Some(program), procid, message: rest, ..Parsed::default() }
        }
        None => only_message,
    }
}

/// Skips a sequence number, an origin name, a card and a clock mark, up to a time or a mnemonic.
fn cisco(text: &str) -> Option<Parsed<'_>> {
    let mut origin = None;
    let mut rest = text;
    // Sequence number, origin and card at most, and the uptime in place of the time.
    for _ in 0..5 {
        let unmarked = rest.strip_prefix(['*', '.']).unwrap_or(rest);
        if let Some((stamp, rest)) = Stamp::find(unmarked) {
            return Some(after_stamp(stamp, origin, rest));
        }
        if is_mnemonic(rest) {
            return Some(Parsed { hostname: origin, message: rest, ..Parsed::default() });
        }
        let (word, after) = prefix(unmarked)?;
        let host = word.split_once(' ').map_or(word, |(host, _card)| host);
        let is_name =
            !host.contains('/') && host.bytes().any(|b| b.is_ascii_alphabetic()) && !is_uptime(host);
        if is_name && is_host_like(host) {
            origin = Some(host);
        }
        rest = after;
    }
    None
}

/// The next word before a colon, and what follows; the colons inside an uptime (`00:00:46`) do not end it.
fn prefix(text: &str) -> Option<(&str, &str)> {
    const LONGEST: usize = 72; // a 63-byte host label and a card
    let bytes = text.as_bytes();
    let mut blanks = 0;
    for (at, byte) in bytes.iter().enumerate().take(LONGEST) {
        match byte {
            b':' => {
                let after = text.get(at + 1..)?;
                let inside_uptime = after.as_bytes().first().is_some_and(u8::is_ascii_digit)
                    && at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(u8::is_ascii_digit)
                    && Stamp::find(after).is_none();
                if !inside_uptime {
                    return Some((text.get(..at)?, after.trim_start_matches(' ')));
                }
            }
            b' ' => blanks += 1,
            b if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/') => {}
            _ => return None,
        }
        if blanks > 1 {
            return None;
        }
    }
    None
}

/// `1w2d`, `3d04h`: Cisco's `service timestamps uptime` past one day.
fn is_uptime(word: &str) -> bool {
    word.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'y' | b'w' | b'd' | b'h'))
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a word can be a host name or address; quotes, brackets and the like begin a text instead.
fn is_host_like(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with('%')
        && word.bytes().all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'.' | b'-' | b'_' | b':' | b'/' | b'@' | b'%')
                || b >= 0x80
        })
}
