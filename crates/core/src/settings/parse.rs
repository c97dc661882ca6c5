//! How the text of a value is understood.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

/// A number that a setting may be.
pub trait Number: FromStr + PartialOrd + Display + Copy + 'static {
    /// How people call it.
    const KIND: &'static str;
    /// A range that ends here has no end worth telling.
    const NO_END: Option<Self>;
}

macro_rules! number {
    ($kind:literal, $type:ty, $no_end:expr) => {
        impl Number for $type {
            const KIND: &'static str = $kind;
            const NO_END: Option<Self> = $no_end;
        }
    };
}
number!("a whole number", u8, None);
number!("a whole number", u16, None);
number!("a whole number", u32, Some(u32::MAX));
number!("a whole number", u64, Some(u64::MAX));
number!("a whole number", usize, Some(usize::MAX));
number!("a whole number", i64, Some(i64::MAX));
number!("a number", f64, Some(f64::MAX));

/// `_` may group digits.
pub(super) fn number<T: Number>(text: &str, range: &RangeInclusive<T>) -> Option<T> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    digits.parse().ok().filter(|number| range.contains(number))
}

pub(super) fn allowed_numbers<T: Number>(range: &RangeInclusive<T>) -> String {
    if Some(*range.end()) == T::NO_END {
        format!("{}, at least {}", T::KIND, range.start())
    } else {
        format!("{} from {} to {}", T::KIND, range.start(), range.end())
    }
}

pub(super) fn flag(text: &str) -> Option<bool> {
    const TRUE: [&str; 4] = ["true", "1", "yes", "on"];
    const FALSE: [&str; 4] = ["false", "0", "no", "off"];
    let is = |word: &&str| word.eq_ignore_ascii_case(text);
    if TRUE.iter().any(is) {
        return Some(true);
    }
    FALSE.iter().any(is).then_some(false)
}

/// A plain number counts `unit`s; `1h 30m`, `250ms` say their own.
pub(super) fn duration(text: &str, unit: Duration) -> Option<Duration> {
    if let Ok(count) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(count * unit.as_secs_f64()).ok();
    }
    humantime::parse_duration(text).ok()
}

pub(super) fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A plain number of bytes, or with `KiB`, `MiB`, `GiB` (1024) or `KB`, `MB`, `GB` (1000).
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor)?;
    count.replace('_', "").parse::<u64>().ok()?.checked_mul(factor)
}

const UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
    ("", 1),
];

pub(super) fn show_bytes(count: u64) -> String {
    match UNITS.iter().take(3).find(|(_, factor)| count >= *factor && count.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", count / factor),
        None => count.to_string(),
    }
}

pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// An absolute `http` or `https` URL.
pub(super) fn url(text: &str) -> Option<String> {
    let uri: http::Uri = text.parse().ok()?;
    let scheme = uri.scheme_str()?;
    (["http", "https"].contains(&scheme) && uri.host().is_some_and(|host| !host.is_empty()))
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_to_their_range() {
        assert_eq!(number("1_000_000", &(1000..=u64::MAX)), Some(1_000_000));
        assert_eq!(number::<u64>("-1", &(0..=10)), None);
        assert_eq!(number("70000", &(1..=u16::MAX)), None);
        assert_eq!(number("NaN", &(0.0..=1.0)), None);
        assert_eq!(number("6379 # the usual", &(1..=u16::MAX)), None);
        assert_eq!(allowed_numbers(&(1..=20u8)), "a whole number from 1 to 20");
        assert_eq!(allowed_numbers(&(1000..=u64::MAX)), "a whole number, at least 1000");
    }

    #[test]
    fn flags_know_eight_words_and_guess_nothing() {
        for (text, is) in
            [("TRUE", true), ("1", true), ("Yes", true), ("on", true), ("false", false), ("off", false)]
        {
            assert_eq!(flag(text), Some(is), "{text}");
        }
        assert_eq!(flag("enabled"), None);
        assert_eq!(flag(""), None);
    }

    #[test]
    fn durations_count_units_or_say_them() {
        let second = Duration::from_secs(1);
        assert_eq!(duration("300", second), Some(Duration::from_mins(5)));
        assert_eq!(duration("1.5", second), Some(Duration::from_millis(1500)));
        assert_eq!(duration("250", Duration::from_millis(1)), Some(Duration::from_millis(250)));
        assert_eq!(duration("1h 30m", second), Some(Duration::from_mins(90)));
        for bad in ["-1", "inf", "NaN", "1e300", "soon", "5 parsecs"] {
            assert_eq!(duration(bad, second), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal_as_written() {
        for (text, count) in
            [("65536", 65_536), ("64KiB", 65_536), ("64 kib", 65_536), ("10MiB", 10 << 20), ("1KB", 1000)]
        {
            assert_eq!(bytes(text), Some(count), "{text}");
        }
        for bad in ["", "KiB", "-1", "1.5MiB", "1XB", "99999999999GiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        assert_eq!(show_bytes(10 << 20), "10MiB");
        assert_eq!(show_bytes(1000), "1000");
    }

    #[test]
    fn a_url_is_absolute_and_has_a_host() {
        assert!(url("https://moog.example.com/api?x=1").is_some());
        for bad in ["moog.example.com", "/api", "ftp://host/", "https://", "http:// host"] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }
}
