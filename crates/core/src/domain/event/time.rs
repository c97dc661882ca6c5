//! The time an event says it happened, read once at ingest and never again.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Utc};

use super::Flag;

/// How far back a sender's time is believed; beyond it the device's clock is wrong, not the event old.
pub const TIMESTAMP_PAST_LIMIT: TimeDelta = TimeDelta::days(30);
/// How far ahead a sender's time is believed; a day covers devices that send local time as UTC.
pub const TIMESTAMP_FUTURE_LIMIT: TimeDelta = TimeDelta::days(1);

/// When an event happened, and whether that is the sender's word or the time of receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTime {
    /// The instant that counts, to the microsecond.
    pub at: DateTime<Utc>,
    /// Set when `at` is the time of receipt because the sender's was missing, unreadable or out of range.
    pub flag: Option<Flag>,
}

/// Reads the sender's time: RFC 3339 with up to nine fractional digits (a missing offset means UTC), RFC 3164
/// (the year that puts it nearest to `received`), or seconds or milliseconds since 1970.
#[must_use]
pub fn event_time(text: &str, received: DateTime<Utc>) -> EventTime {
    let text = text.trim();
    let flagged = |flag| EventTime { at: received, flag: Some(flag) };
    if text.is_empty() {
        return flagged(Flag::TimestampMissing);
    }
    let Some(at) = rfc3339(text).or_else(|| epoch(text)).or_else(|| rfc3164(text, received)) else {
        return flagged(Flag::TimestampUnreadable);
    };
    if at < received - TIMESTAMP_PAST_LIMIT || at > received + TIMESTAMP_FUTURE_LIMIT {
        return flagged(Flag::TimestampOutOfRange);
    }
    EventTime { at: DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at), flag: None }
}

fn rfc3339(text: &str) -> Option<DateTime<Utc>> {
    if !text.as_bytes().first()?.is_ascii_digit() || text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.to_utc());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|naive| naive.and_utc())
}

fn epoch(text: &str) -> Option<DateTime<Utc>> {
    // Ten digits are seconds until 2286, thirteen are milliseconds; fewer or more are not a time.
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.bytes().all(|b| b.is_ascii_digit()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    match whole.len() {
        10 => {
            let digits = fraction.get(..9).unwrap_or(fraction);
            let nanos = format!("{digits:0<9}").parse().ok()?;
            DateTime::from_timestamp(number, nanos)
        }
        13 => DateTime::from_timestamp_millis(number),
        _ => None,
    }
}

/// `Mmm dd hh:mm:ss[.fraction]`, without a year: RFC 3164 section 4.1.2.
fn rfc3164(text: &str, received: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut parts = text.split_ascii_whitespace();
    let month = month(parts.next()?)?;
    let day: u32 = parts.next()?.parse().ok()?;
    let time = chrono::NaiveTime::parse_from_str(parts.next()?, "%H:%M:%S%.f").ok()?;
    if parts.next().is_some() {
        return None;
    }
    // December read in January belongs to last year, and the reverse for a clock slightly ahead.
    [received.year() - 1, received.year(), received.year() + 1]
        .into_iter()
        .filter_map(|year| Some(NaiveDate::from_ymd_opt(year, month, day)?.and_time(time).and_utc()))
        .min_by_key(|at| (*at - received).abs())
}

fn month(name: &str) -> Option<u32> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name)).and_then(|at| u32::try_from(at + 1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn every_usual_spelling_names_the_same_instant() {
        let received = at("2026-11-23T12:00:00Z");
        for text in [
            "2026-11-23T10:30:00Z",
            "2026-11-23T10:30:00.0000000Z",
            "2026-11-23T12:30:00.000+02:00",
            "2026-11-23 10:30:00Z",
            "2026-11-23T10:30:00",
            "Nov 23 10:30:00",
            "Nov 23 10:30:00.000",
            "1795429800",
            "1795429800.0",
            "1795429800000",
        ] {
            assert_eq!(
                event_time(text, received),
                EventTime { at: at("2026-11-23T10:30:00Z"), flag: None },
                "{text}"
            );
        }
    }

    #[test]
    fn a_year_is_inferred_across_new_year() {
        assert_eq!(event_time("Dec 31 23:59:59", at("2027-01-01T00:00:05Z")).at, at("2026-12-31T23:59:59Z"));
        assert_eq!(event_time("Jan  1 00:00:02", at("2026-12-31T23:59:58Z")).at, at("2027-01-01T00:00:02Z"));
        let leap = event_time("Feb 29 08:00:00", at("2028-03-01T00:00:00Z"));
        assert_eq!(leap, EventTime { at: at("2028-02-29T08:00:00Z"), flag: None });
    }

    #[test]
    fn what_cannot_be_believed_becomes_the_time_of_receipt() {
        let received = at("2026-11-23T12:00:00Z");
        for (text, flag) in [
            ("", Flag::TimestampMissing),
            ("yesterday", Flag::TimestampUnreadable),
            ("1970-01-01T00:00:00Z", Flag::TimestampOutOfRange),
            ("2099-01-01T00:00:00Z", Flag::TimestampOutOfRange),
            ("2026-02-30T00:00:00Z", Flag::TimestampUnreadable),
            ("-5", Flag::TimestampUnreadable),
            ("99999999999999999999", Flag::TimestampUnreadable),
        ] {
            assert_eq!(event_time(text, received), EventTime { at: received, flag: Some(flag) }, "{text}");
        }
    }

    #[test]
    fn nine_fractional_digits_are_cut_to_microseconds() {
        let time = event_time("2026-11-23T10:30:00.123456789Z", at("2026-11-23T12:00:00Z"));
        assert_eq!(time.at, at("2026-11-23T10:30:00.123456Z"));
    }
}
