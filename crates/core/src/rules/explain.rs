//! Why each rule won or lost an event, in plain words, for the console and the command line.
//!
//! Walks the rules one by one on purpose: it must name every rule's own reason, and being independent of the index it
//! is also what the index is tested against. Not for the alerter's path.

use std::{fmt, ops::Range};

use super::{Entry, Idle, RuleSet, Subject, Test, fold, rank};
use crate::domain::event::SyslogSeverity;

/// What every rule says about one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The rule that decides; `None` when the event is unhandled.
    pub winner: Option<i32>,
    /// One entry per rule, in the order in which rules are preferred; rules that take no part come last.
    pub rules: Vec<RuleVerdict>,
}

/// One rule's part in an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleVerdict {
    /// The rule.
    pub rule_id: i32,
    /// Its priority.
    pub priority: i32,
    /// How it fared.
    pub verdict: Verdict,
}

/// How a rule fared, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It decides the event. `span` is the part of the message that matched, in bytes; `None` for an OID rule.
    Won {
        /// What matched.
        span: Option<Range<usize>>,
    },
    /// It matches too, but another rule is preferred.
    Outranked {
        /// The rule that won.
        by: i32,
        /// That rule's priority.
        by_priority: i32,
        /// What matched.
        span: Option<Range<usize>>,
    },
    /// Its text or OID matches, its severity does not.
    SeverityDiffers {
        /// What the rule asks for.
        wanted: SyslogSeverity,
        /// What the event has.
        got: Option<SyslogSeverity>,
    },
    /// The message does not contain its text.
    TextAbsent,
    /// Its pattern is not found in the message.
    PatternAbsent,
    /// Its pattern gave up at the step limit, which counts as no match.
    GaveUp,
    /// It looks at OIDs and the event has none.
    NoOid,
    /// The event's OID does not lie under its prefix.
    OidElsewhere {
        /// The rule's prefix in dotted form.
        prefix: String,
    },
    /// It is switched off or retired.
    SwitchedOff,
    /// It cannot match anything.
    Unusable {
        /// Why.
        problem: String,
    },
}

impl Verdict {
    /// A stable word for the reason, for interfaces and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Won { .. } => "won",
            Self::Outranked { .. } => "outranked",
            Self::SeverityDiffers { .. } => "severity_differs",
            Self::TextAbsent => "text_absent",
            Self::PatternAbsent => "pattern_absent",
            Self::GaveUp => "gave_up",
            Self::NoOid => "no_oid",
            Self::OidElsewhere { .. } => "oid_elsewhere",
            Self::SwitchedOff => "switched_off",
            Self::Unusable { .. } => "unusable",
        }
    }

    /// The part of the message that matched, in bytes.
    #[must_use]
    pub fn span(&self) -> Option<&Range<usize>> {
        match self {
            Self::Won { span } | Self::Outranked { span, .. } => span.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Won { .. } => f.write_str("wins"),
            Self::Outranked { by, by_priority, .. } => {
                write!(f, "matches too, but rule {by} (priority {by_priority}) comes first")
            }
            Self::SeverityDiffers { wanted, got: Some(got) } => {
                write!(f, "matches only severity {} ({}), the event has ", wanted.get(), wanted.word())?;
                write!(f, "{} ({})", got.get(), got.word())
            }
            Self::SeverityDiffers { wanted, got: None } => {
                write!(f, "matches only severity {} ({}), the event has none", wanted.get(), wanted.word())
            }
            Self::TextAbsent => f.write_str("the message does not contain its text"),
            Self::PatternAbsent => f.write_str("its pattern is not found in the message"),
            Self::GaveUp => f.write_str("its pattern needed too many steps on this message and was given up"),
            Self::NoOid => f.write_str("matches by OID only, and the event has none"),
            Self::OidElsewhere { prefix } => write!(f, "the event's OID does not lie under {prefix}"),
            Self::SwitchedOff => f.write_str("is switched off"),
            Self::Unusable { problem } => write!(f, "cannot match: {problem}"),
        }
    }
}

impl RuleSet {
    /// Says of every rule why it won or lost. O(rules), each tried on its own.
    #[must_use]
    pub fn explain(&self, subject: &Subject<'_>) -> Explanation {
        let mut winner: Option<(i32, i32)> = None;
        let mut rules = Vec::with_capacity(self.rules.len() + self.idle.len());
        for entry in &self.rules {
            let verdict = match entry.examine(subject) {
                Err(verdict) => verdict,
                Ok(span) => {
                    if let Some((by, by_priority)) = winner {
                        Verdict::Outranked { by, by_priority, span }
                    } else {
                        winner = Some((entry.rule.id, entry.rule.priority));
                        Verdict::Won { span }
                    }
                }
            };
            rules.push(RuleVerdict { rule_id: entry.rule.id, priority: entry.rule.priority, verdict });
        }
        rules.extend(self.idle.iter().map(|(rule, why)| RuleVerdict {
            rule_id: rule.id,
            priority: rule.priority,
            verdict: match why {
                Idle::SwitchedOff => Verdict::SwitchedOff,
                Idle::Unusable(problem) => Verdict::Unusable { problem: problem.clone() },
            },
        }));
        Explanation { winner: winner.map(|(id, _)| id), rules }
    }
}

impl Entry {
    /// What matched, or why the rule does not match.
    fn examine(&self, subject: &Subject<'_>) -> Result<Option<Range<usize>>, Verdict> {
        let span = match &self.test {
            Test::Contains(text) => {
                Some(fold::find_folded(subject.message, text).ok_or(Verdict::TextAbsent)?)
            }
            Test::Regex(pattern) => {
                let found = pattern.find(subject.message).map_err(|_| Verdict::GaveUp)?;
                Some(found.ok_or(Verdict::PatternAbsent)?)
            }
            Test::OidPrefix(prefix) => {
                let oid = subject.trap_oid.ok_or(Verdict::NoOid)?;
                if !prefix.covers(oid) {
                    return Err(Verdict::OidElsewhere { prefix: prefix.to_string() });
                }
                None
            }
        };
        match self.rule.syslog_severity {
            Some(wanted) if !rank::accepts(Some(wanted), subject.severity) => {
                Err(Verdict::SeverityDiffers { wanted, got: subject.severity })
            }
            _ => Ok(span),
        }
    }
}
