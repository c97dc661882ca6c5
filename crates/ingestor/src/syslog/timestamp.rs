//! Times at the front of syslog headers, as devices write them.
//!
//! Only shapes are told apart here; whether a time can be believed depends on when it was received, see
//! [`Stamp::event_time`]. A time of the right shape with impossible values (`Feb 30`) is still a time: the fields
//! after it are read, and the event is flagged.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use mutt_core::domain::event::{EventTime, Flag, TIMESTAMP_FUTURE_LIMIT, TIMESTAMP_PAST_LIMIT};

/// A time that was found, as text and as what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The device's own text, without clock marks.
    pub text: &'a str,
    when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Instant(DateTime<Utc>),
    /// Month, day and time of day; the year follows from when it was received.
    Yearless {
        month: u32,
        day: u32,
        time: NaiveTime,
        offset: TimeDelta,
    },
    /// The shape of a time with values that no clock shows.
    Impossible,
}

impl<'a> Stamp<'a> {
    /// Finds a time at the very start of `text` and returns it with what follows it.
    ///
    /// Reads RFC 3339 (`T` or a blank between date and time, the offset optional and then UTC), RFC 3164 with or
    /// without a year on either side, Cisco's `2026 Nov 23 ..`, and fractions of up to nine digits.
    #[must_use]
    pub fn find(text: &'a str) -> Option<(Self, &'a str)> {
        let bytes = text.as_bytes();
        let (when, end) = match bytes.first()? {
            b'0'..=b'9' => iso(bytes).or_else(|| year_first(bytes)),
            b'A'..=b'Z' | b'a'..=b'z' => month_first(bytes),
            _ => None,
        }?;
        let (stamp, rest) = text.split_at_checked(end)?;
        Some((Self { text: stamp, when }, rest))
    }

    /// Reads seconds since 1970 with a fraction, as Cisco Meraki sends them, up to the next blank.
    #[must_use]
    pub fn find_epoch(text: &'a str) -> Option<(Self, &'a str)> {
        let end = text.bytes().position(|b| b == b' ')?;
        let (stamp, rest) = text.split_at_checked(end)?;
        let (seconds, fraction) = stamp.split_once('.')?;
        if seconds.len() != 10 || !seconds.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let nanos = fraction_nanos(fraction.as_bytes())?;
        let at = DateTime::from_timestamp(seconds.parse().ok()?, nanos)?;
        Some((Self { text: stamp, when: When::Instant(at) }, rest))
    }

    /// Whether this is a full RFC 3339 time with its offset, the only kind that RFC 5424 allows.
    #[must_use]
    pub fn is_rfc3339(&self) -> bool {
        let bytes = self.text.as_bytes();
        bytes.get(10) == Some(&b'T') && bytes.len() > 19
    }

    /// When it happened, seen from `received`: the device's word, or the time of receipt with a flag that says why.
    #[must_use]
    pub fn event_time(&self, received: DateTime<Utc>) -> EventTime {
        let flagged = |flag| EventTime { at: received, flag: Some(flag) };
        let at = match self.when {
            When::Instant(at) => Some(at),
            When::Yearless { month, day, time, offset } => nearest_year(month, day, time, offset, received),
            When::Impossible => None,
        };
        match at {
            None => flagged(Flag::TimestampUnreadable),
            Some(at) if at < received - TIMESTAMP_PAST_LIMIT || at > received + TIMESTAMP_FUTURE_LIMIT => {
                flagged(Flag::TimestampOutOfRange)
            }
            Some(at) => EventTime { at, flag: None },
        }
    }
}

/// The year that puts the date nearest to `received`: December read in January is last year's.
fn nearest_year(
    month: u32,
    day: u32,
    time: NaiveTime,
    offset: TimeDelta,
    received: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let this_year = received.year();
    let in_year = |year| Some(NaiveDate::from_ymd_opt(year, month, day)?.and_time(time).and_utc() - offset);
    if let Some(at) = in_year(this_year)
        && (at - received).abs() < TimeDelta::days(180)
    {
        return Some(at); // nothing can be nearer
    }
    [this_year - 1, this_year, this_year + 1]
        .into_iter()
        .filter_map(in_year)
        .min_by_key(|at| (*at - received).abs())
}

/// `2026-11-23T21:46:30[.123456789][Z|+00:00]`, also with `/` and with a blank instead of the `T`.
fn iso(bytes: &[u8]) -> Option<(When, usize)> {
    let year = number(bytes, 0, 4)?;
    let dash = *bytes.get(4)?;
    if !matches!(dash, b'-' | b'/')
        || bytes.get(7) != Some(&dash)
        || !matches!(bytes.get(10), Some(b'T' | b' '))
    {
        return None;
    }
    let (month, day) = (number(bytes, 5, 2)?, number(bytes, 8, 2)?);
    let (time, end) = time_of_day(bytes, 11)?;
    let (offset, end) = numeric_offset(bytes, end).unwrap_or((TimeDelta::zero(), end));
    ends_here(bytes, end)?;
    Some((instant(year, month, day, time, offset), end))
}

/// `2026 Nov 23 21:46:30 UTC`, as NX-OS writes it.
fn year_first(bytes: &[u8]) -> Option<(When, usize)> {
    let year = number(bytes, 0, 4)?;
    if bytes.get(4) != Some(&b' ') {
        return None;
    }
    let (month, day, at) = month_and_day(bytes, 5)?;
    let (time, end) = time_of_day(bytes, at)?;
    let (offset, end) = zone(bytes, end);
    ends_here(bytes, end)?;
    Some((instant(year, month, day, time, offset), end))
}

/// `Nov 23 21:46:30`, `Nov 23 2026 21:46:30`, `Nov 23 21:46:30 2026`, each with an optional fraction and zone.
fn month_first(bytes: &[u8]) -> Option<(When, usize)> {
    let (month, day, at) = month_and_day(bytes, 0)?;
    let early_year = number(bytes, at, 4).filter(|_| bytes.get(at + 4) == Some(&b' '));
    let (time, end) = time_of_day(bytes, if early_year.is_some() { at + 5 } else { at })?;
    let (offset, end) = zone(bytes, end);
    let late_year = || {
        let year = number(bytes, end + 1, 4).filter(|year| (1970..=2199).contains(year))?;
        (bytes.get(end) == Some(&b' ') && matches!(bytes.get(end + 5), None | Some(b' ' | b':')))
            .then_some(year)
    };
    let (year, end) = match early_year {
        Some(year) => (Some(year), end),
        None => late_year().map_or((None, end), |year| (Some(year), end + 5)),
    };
    ends_here(bytes, end)?;
    let when = match (year, time) {
        (Some(year), time) => instant(year, month, day, time, offset),
        // A leap year, so that the 29th of February is a date; the real year decides later.
        (None, Some(time)) if NaiveDate::from_ymd_opt(2024, month, day).is_some() => {
            When::Yearless { month, day, time, offset }
        }
        (None, _) => When::Impossible,
    };
    Some((when, end))
}

fn month_and_day(bytes: &[u8], at: usize) -> Option<(u32, u32, usize)> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let name = bytes.get(at..at + 3)?;
    let month =
        MONTHS.iter().zip(1..).find_map(|(month, n)| name.eq_ignore_ascii_case(*month).then_some(n))?;
    let mut at = at + 3;
    if bytes.get(at) != Some(&b' ') {
        return None;
    }
    // `Nov  9`, `Nov 09` and the unpadded `Nov 9` all occur.
    while bytes.get(at) == Some(&b' ') {
        at += 1;
    }
    let digits = if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) { 2 } else { 1 };
    let day = number(bytes, at, digits)?;
    at += digits;
    (bytes.get(at) == Some(&b' ')).then_some((month, day, at + 1))
}

/// `hh:mm:ss` with an optional fraction after a dot or a comma; `None` inside when the values are impossible.
fn time_of_day(bytes: &[u8], at: usize) -> Option<(Option<NaiveTime>, usize)> {
    if bytes.get(at + 2) != Some(&b':') || bytes.get(at + 5) != Some(&b':') {
        return None;
    }
    let (hour, minute, second) =
        (number(bytes, at, 2)?, number(bytes, at + 3, 2)?, number(bytes, at + 6, 2)?);
    let mut end = at + 8;
    let mut nanos = 0;
    if matches!(bytes.get(end), Some(b'.' | b',')) {
        let digits = bytes.get(end + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 {
            nanos = fraction_nanos(bytes.get(end + 1..end + 1 + digits)?)?;
            end += 1 + digits;
        }
    }
    // A leap second is the last instant of its minute: PostgreSQL has no 61st second.
    let second = if second == 60 { 59 } else { second };
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second, nanos), end))
}

fn fraction_nanos(digits: &[u8]) -> Option<u32> {
    // Cut to microseconds, which is what the database keeps.
    let micros = number(digits, 0, digits.len().min(6))?;
    let missing = 6 - u32::try_from(digits.len().min(6)).ok()?;
    Some(micros * 10_u32.pow(missing) * 1000)
}

/// `Z`, `+02:00` or `+0200`.
fn numeric_offset(bytes: &[u8], at: usize) -> Option<(TimeDelta, usize)> {
    let sign = match bytes.get(at)? {
        b'Z' | b'z' => return Some((TimeDelta::zero(), at + 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = number(bytes, at + 1, 2)?;
    let colon = usize::from(bytes.get(at + 3) == Some(&b':'));
    let minutes = number(bytes, at + 3 + colon, 2)?;
    let total = sign * (i64::from(hours) * 60 + i64::from(minutes));
    Some((TimeDelta::minutes(total), at + 5 + colon))
}

/// A zone after a time, when there is one: a numeric offset, `UTC` or `GMT`, or letters with Cisco's colon after them.
///
/// Letters that are followed by a blank are a host name. Abbreviations that name no one offset count as UTC.
fn zone(bytes: &[u8], at: usize) -> (TimeDelta, usize) {
    if let Some(found) = numeric_offset(bytes, at) {
        return found;
    }
    let none = (TimeDelta::zero(), at);
    let Some(name) = bytes.get(at + 1..).filter(|_| bytes.get(at) == Some(&b' ')) else {
        return none;
    };
    if let Some(found) = numeric_offset(bytes, at + 1).filter(|_| matches!(name.first(), Some(b'+' | b'-'))) {
        return found;
    }
    let length = name.iter().take_while(|b| b.is_ascii_uppercase()).count();
    let (letters, after) = name.split_at(length);
    if !(1..=5).contains(&length) {
        return none;
    }
    let colon = after.first() == Some(&b':');
    let universal = matches!(letters, b"UTC" | b"GMT") && matches!(after.first(), None | Some(b' '));
    if !colon && !universal {
        return none;
    }
    let minutes = match letters {
        b"EDT" => -240,
        b"EST" | b"CDT" => -300,
        b"CST" | b"MDT" => -360,
        b"MST" | b"PDT" => -420,
        b"PST" => -480,
        b"CET" | b"WEST" | b"BST" => 60,
        b"CEST" | b"EET" | b"SAST" => 120,
        b"EEST" | b"MSK" => 180,
        b"JST" | b"KST" => 540,
        _ => 0,
    };
    (TimeDelta::minutes(minutes), at + 1 + length)
}

/// A time must be followed by a blank, a colon or nothing, else it is part of a longer word.
fn ends_here(bytes: &[u8], end: usize) -> Option<()> {
    matches!(bytes.get(end), None | Some(b' ' | b':' | b'\t')).then_some(())
}

fn instant(year: u32, month: u32, day: u32, time: Option<NaiveTime>, offset: TimeDelta) -> When {
    let at = || {
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
        NaiveDateTime::new(date, time?).and_utc().checked_sub_signed(offset)
    };
    at().map_or(When::Impossible, When::Instant)
}

/// `digits` decimal digits at `at`, or `None` when one of them is not a digit.
fn number(bytes: &[u8], at: usize, digits: usize) -> Option<u32> {
    bytes
        .get(at..at + digits)?
        .iter()
        .try_fold(0_u32, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests;
