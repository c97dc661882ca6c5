//! Syslog severities from everything that senders write for them.

/// A syslog severity, 0 (emergency) to 7 (debug): RFC 5424 section 6.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyslogSeverity(u8);

const WORDS: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// Every spelling that is read.
const SPELLINGS: [(&str, u8); 22] = [
    ("emergency", 0),
    ("emerg", 0),
    ("panic", 0),
    ("alert", 1),
    ("critical", 2),
    ("crit", 2),
    ("major", 2),
    ("fatal", 2),
    ("error", 3),
    ("err", 3),
    ("warning", 4),
    ("warn", 4),
    ("minor", 4),
    ("notice", 5),
    ("notification", 5),
    ("informational", 6),
    ("information", 6),
    ("info", 6),
    ("clear", 6),
    ("debug", 7),
    ("debugging", 7),
    ("trace", 7),
];

impl SyslogSeverity {
    /// The severity with this number, or `None` above 7.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (number <= 7).then_some(Self(number))
    }

    /// Reads a number from 0 to 7 or a severity word, in any case.
    ///
    /// Words are those of RFC 5424, their usual short forms, and the two that only alarm consoles use:
    /// `major` counts as critical, `minor` as warning.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if let [digit @ b'0'..=b'7'] = text.as_bytes() {
            return Some(Self(digit - b'0'));
        }
        SPELLINGS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|&(_, number)| Self(number))
    }

    /// The number, 0 to 7.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// The full word, in lower case.
    #[must_use]
    pub fn word(self) -> &'static str {
        WORDS[usize::from(self.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_in_any_case_are_read() {
        for (text, expected) in
            [("3", 3), (" 7 ", 7), ("Warning", 4), ("ERR", 3), ("Informational", 6), ("emerg", 0)]
        {
            assert_eq!(SyslogSeverity::from_text(text).map(SyslogSeverity::get), Some(expected), "{text}");
        }
        for text in ["8", "-1", "33", "", "loud"] {
            assert_eq!(SyslogSeverity::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn every_number_has_a_word_that_reads_back() {
        for number in 0..=7 {
            let severity = SyslogSeverity::new(number).unwrap();
            assert_eq!(SyslogSeverity::from_text(severity.word()), Some(severity));
        }
    }
}
