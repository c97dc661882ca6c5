//! The checks behind [`super::RuleDraft::validate`], one field at a time; each adds its problems to one list.

use super::{FieldProblem, PATTERN_MAX_CHARS};
use crate::{
    domain::{
        event::SyslogSeverity,
        rule::{DEFAULT_PRIORITY, Handling, MatchType},
    },
    rules::{oid::OidPrefix, pattern::Pattern},
};

/// The longest team or handling, in characters; the columns are as wide.
const WORD_MAX_CHARS: usize = 100;

/// Blank text is the same as no text: forms send one, scripts the other.
pub(super) fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

#[derive(Default)]
pub(super) struct Check(Vec<FieldProblem>);

impl Check {
    /// The value, or the problems found on the way to it.
    pub(super) fn verdict<T>(self, value: T) -> Result<T, Vec<FieldProblem>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }

    fn problem(&mut self, field: &'static str, problem: impl Into<String>) {
        self.0.push(FieldProblem { field, problem: problem.into(), column: None });
    }

    pub(super) fn match_type(&mut self, word: &str) -> Option<MatchType> {
        let known = MatchType::from_word(word.trim());
        if known.is_none() {
            self.problem("match_type", format!("`{word}` is not one of contains, regex, oid_prefix"));
        }
        known
    }

    pub(super) fn what_to_look_for(&mut self, match_type: MatchType, text: Option<&str>, oid: Option<&str>) {
        match match_type {
            MatchType::Contains | MatchType::Regex => {
                if oid.is_some() {
                    self.problem(
                        "trap_oid",
                        format!("a {match_type} rule looks at the message only: leave it empty"),
                    );
                }
                match text {
                    None => self
                        .problem("match_string", format!("a {match_type} rule needs the text to look for")),
                    Some(text) => self.text(match_type, text),
                }
            }
            MatchType::OidPrefix => {
                if text.is_some() {
                    self.problem("match_string", "an oid_prefix rule looks at the OID only: leave it empty");
                }
                match oid {
                    None => self.problem("trap_oid", "an oid_prefix rule needs the OID to look for"),
                    Some(oid) => self.oid(oid),
                }
            }
        }
    }

    fn text(&mut self, match_type: MatchType, text: &str) {
        if !self.fits("match_string", text, PATTERN_MAX_CHARS) {
            return;
        }
        if match_type == MatchType::Regex
            && let Err(error) = Pattern::compile(text)
        {
            self.0.push(FieldProblem { field: "match_string", problem: error.message, column: error.column });
        }
    }

    fn oid(&mut self, oid: &str) {
        if self.fits("trap_oid", oid, PATTERN_MAX_CHARS)
            && let Err(error) = oid.parse::<OidPrefix>()
        {
            self.problem("trap_oid", error.to_string());
        }
    }

    pub(super) fn severity(&mut self, number: Option<i64>) -> Option<SyslogSeverity> {
        let severity = number.and_then(|number| SyslogSeverity::new(u8::try_from(number).ok()?));
        if let (Some(number), None) = (number, severity) {
            self.problem(
                "syslog_severity",
                format!("{number} is not a severity: 0 (emergency) to 7 (debug)"),
            );
        }
        severity
    }

    pub(super) fn moog_severity(&mut self, number: Option<i64>) -> Option<u8> {
        let severity = number.and_then(|number| u8::try_from(number).ok()).filter(|&number| number <= 5);
        if let (Some(number), None) = (number, severity) {
            self.problem(
                "moog_severity",
                format!("{number} is not on Moogsoft's scale: 0 (clear) to 5 (critical)"),
            );
        }
        severity
    }

    pub(super) fn priority(&mut self, number: i64) -> i32 {
        i32::try_from(number).unwrap_or_else(|_| {
            self.problem("priority", format!("{number} is too far from zero: {} to {}", i32::MIN, i32::MAX));
            DEFAULT_PRIORITY
        })
    }

    pub(super) fn handling(&mut self, field: &'static str, text: &str) -> Handling {
        let handling = Handling::new(self.required(field, text));
        if !handling.as_str().is_empty() && !handling.is_known() {
            self.problem(
                field,
                format!(
                    "`{handling}` is not a known handling: {} send an alert, {} only audit",
                    Handling::FORWARDING.join(", "),
                    Handling::AUDIT_ONLY.join(", ")
                ),
            );
        }
        handling
    }

    pub(super) fn required(&mut self, field: &'static str, text: &str) -> String {
        let text = text.trim();
        if text.is_empty() {
            self.problem(field, "must not be empty");
        } else {
            self.fits(field, text, WORD_MAX_CHARS);
        }
        text.to_owned()
    }

    pub(super) fn words(&mut self, field: &'static str, text: Option<&str>, most: usize) -> Option<String> {
        let text = given(text)?.trim();
        self.fits(field, text, most);
        Some(text.to_owned())
    }

    fn fits(&mut self, field: &'static str, text: &str, most: usize) -> bool {
        let chars = text.chars().count();
        if text.contains('\0') {
            self.problem(field, "must not contain NUL characters");
        } else if chars > most {
            self.problem(field, format!("{chars} characters are too long: at most {most}"));
        } else {
            return true;
        }
        false
    }
}
