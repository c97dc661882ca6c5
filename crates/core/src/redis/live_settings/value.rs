//! What a live setting may hold, and how its text becomes that.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What values a setting takes; ranges are inclusive and in the setting's own unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A whole number.
    Count(RangeInclusive<u64>),
    /// A number with a fraction.
    Ratio(RangeInclusive<f64>),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A time, written as a whole number of units.
    Time {
        /// What one unit is.
        unit: TimeUnit,
        /// How many units are allowed.
        range: RangeInclusive<u64>,
    },
}

/// The unit in which a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Hours.
    Hours,
}

impl TimeUnit {
    fn duration(self, count: u64) -> Duration {
        match self {
            Self::Millis => Duration::from_millis(count),
            Self::Seconds => Duration::from_secs(count),
            Self::Hours => Duration::from_hours(count),
        }
    }

    /// The unit's name, in the plural.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Millis => "milliseconds",
            Self::Seconds => "seconds",
            Self::Hours => "hours",
        }
    }
}

/// A value that fits its setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Of [`Kind::Count`].
    Count(u64),
    /// Of [`Kind::Ratio`].
    Ratio(f64),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Choice`].
    Choice(&'static str),
    /// Of [`Kind::Time`].
    Time(Duration),
}

impl Kind {
    /// Reads a value; surrounding spaces and the case of words do not matter. `None` when it does not fit.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        let whole = |range: &RangeInclusive<u64>| text.parse().ok().filter(|number| range.contains(number));
        match self {
            Self::Count(range) => whole(range).map(Value::Count),
            Self::Ratio(range) => text.parse().ok().filter(|number| range.contains(number)).map(Value::Ratio),
            Self::Flag => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(Value::Flag(true)),
                "false" | "0" | "no" | "off" => Some(Value::Flag(false)),
                _ => None,
            },
            Self::Choice(words) => {
                words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied().map(Value::Choice)
            }
            Self::Time { unit, range } => whole(range).map(|count| Value::Time(unit.duration(count))),
        }
    }

    /// What is allowed, in words for an error message or a form.
    #[must_use]
    pub fn allowed(&self) -> String {
        match self {
            Self::Count(range) => format!("a whole number from {} to {}", range.start(), range.end()),
            Self::Ratio(range) => format!("a number from {} to {}", range.start(), range.end()),
            Self::Flag => "true or false".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Time { unit, range } => {
                format!("a whole number of {} from {} to {}", unit.name(), range.start(), range.end())
            }
        }
    }

    /// The one way in which a value is stored, so that equal values are equal text.
    #[must_use]
    pub fn canonical(&self, text: &str) -> Option<String> {
        Some(match self.parse(text)? {
            Value::Flag(truth) => truth.to_string(),
            Value::Choice(word) => word.to_owned(),
            Value::Count(number) => number.to_string(),
            Value::Ratio(number) => number.to_string(),
            // Re-printing the duration would have to undo the unit.
            Value::Time(_) => text.trim().parse::<u64>().ok()?.to_string(),
        })
    }
}

/// A Rust type that a live setting can have.
pub trait LiveValue: Copy + Sized {
    /// The value as this type; `None` when the setting is of another kind.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! live_value {
    ($type:ty, $variant:ident) => {
        impl LiveValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(inner) => Some(inner),
                    _ => None,
                }
            }
        }
    };
}

live_value!(u64, Count);
live_value!(f64, Ratio);
live_value!(bool, Flag);
live_value!(&'static str, Choice);
live_value!(Duration, Time);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fits_is_taken() {
        let count = Kind::Count(1..=10);
        assert_eq!(count.parse(" 10 "), Some(Value::Count(10)));
        for bad in ["", "0", "11", "-1", "1.5", "1e1", "ten", "99999999999999999999"] {
            assert_eq!(count.parse(bad), None, "{bad}");
        }
        let ratio = Kind::Ratio(0.0..=1.0);
        assert_eq!(ratio.parse("0.75"), Some(Value::Ratio(0.75)));
        for bad in ["NaN", "inf", "-0.1", "1.01"] {
            assert_eq!(ratio.parse(bad), None, "{bad}");
        }
        assert_eq!(Kind::Choice(&["dlq", "defer"]).parse("DEFER"), Some(Value::Choice("defer")));
        assert_eq!(Kind::Choice(&["dlq", "defer"]).parse("drop"), None);
    }

    #[test]
    fn a_time_has_its_unit() {
        let hours = Kind::Time { unit: TimeUnit::Hours, range: 1..=48 };
        assert_eq!(hours.parse("24"), Some(Value::Time(Duration::from_hours(24))));
        assert_eq!(hours.allowed(), "a whole number of hours from 1 to 48");
    }

    #[test]
    fn equal_values_are_stored_as_equal_text() {
        assert_eq!(Kind::Flag.canonical("YES").as_deref(), Some("true"));
        assert_eq!(Kind::Count(0..=9).canonical(" 07").as_deref(), Some("7"));
        assert_eq!(Kind::Ratio(0.0..=9.0).canonical("5.0").as_deref(), Some("5"));
        let seconds = Kind::Time { unit: TimeUnit::Seconds, range: 1..=90 };
        assert_eq!(seconds.canonical("+60").as_deref(), Some("60"));
        assert_eq!(seconds.canonical("91"), None);
    }
}
