//! Which rule decides an event: pure, and the same code for the alerter, the console and the command line.
//!
//! The winner is the active rule with the lowest (`priority`, `id`) of **all** that match:
//! - `oid_prefix` matches by the trap's OID alone, on arc boundaries (see [`OidPrefix`]);
//! - `contains` and `regex` match by the message alone, in any case, whether or not the event has an OID;
//! - a rule of any type that names a severity matches only events of exactly that severity.
//!
//! Nothing here waits, logs or reads a clock, and no rule can stop the caller: patterns run in linear time or give up
//! after a fixed number of steps.

mod draft;
mod explain;
mod fold;
mod literals;
mod oid;
mod pattern;
mod rank;
mod text;

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub use self::{
    draft::{FieldProblem, PATTERN_MAX_CHARS, RuleDraft, ValidRule},
    explain::{Explanation, RuleVerdict, Verdict},
    oid::{OidError, OidPrefix},
    pattern::PatternError,
};
use self::{
    oid::OidTree,
    pattern::Pattern,
    rank::Ranks,
    text::{Scratch, TextIndex, TextRule},
};
use crate::domain::{
    event::{Event, SyslogSeverity},
    rule::{MatchType, Rule},
};

/// What rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The event's message.
    pub message: &'a str,
    /// The trap's OID in dotted form, with or without a leading dot.
    pub trap_oid: Option<&'a str>,
    /// The event's severity.
    pub severity: Option<SyslogSeverity>,
}

impl<'a> From<&'a Event<'_>> for Subject<'a> {
    fn from(event: &'a Event<'_>) -> Self {
        Self { message: &event.message, trap_oid: event.trap_oid.as_deref(), severity: event.severity }
    }
}

/// All rules, compiled; immutable, shared between threads, replaced as a whole.
///
/// ```
/// use mutt_core::{domain::rule::Rule, rules::{RuleSet, Subject}};
///
/// let rules = vec![
///     Rule { match_string: Some("link".into()), priority: 20, ..Rule::new(1) },
///     Rule { match_string: Some("LINK-DOWN".into()), priority: 5, ..Rule::new(2) },
/// ];
/// let compiled = RuleSet::compile(rules);
/// assert!(compiled.problems.is_empty());
/// let event = Subject { message: "sw1: link-down on Gi0/1", trap_oid: None, severity: None };
/// assert_eq!(compiled.set.best_match(&event).map(|rule| rule.id), Some(2));
/// ```
#[derive(Debug, Default)]
pub struct RuleSet {
    /// Usable rules in order of (`priority`, `id`): a rule's rank is its place here.
    rules: Vec<Entry>,
    /// Rules that take no part, and why.
    idle: Vec<(Rule, Idle)>,
    text: TextIndex,
    oids: OidTree,
    step_limit_hits: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    rule: Rule,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Contains(String),
    Regex(Arc<Pattern>),
    OidPrefix(OidPrefix),
}

/// Why a rule takes no part.
#[derive(Debug, Clone)]
enum Idle {
    SwitchedOff,
    Unusable(String),
}

/// A new rule set, and what is wrong with the rules it was made from.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The rules that can match.
    pub set: RuleSet,
    /// Rules that were left out or do not do what their author meant. Rows can be older than today's checks.
    pub problems: Vec<RuleProblem>,
}

/// Something an operator should repair in a stored rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// The rule.
    pub rule_id: i32,
    /// Whether the rule was left out.
    pub left_out: bool,
    /// In plain words.
    pub problem: String,
}

impl RuleSet {
    /// Compiles rules in any order. Rules that are switched off or retired are kept only for [`RuleSet::explain`].
    ///
    /// Takes tens of milliseconds per thousand patterns: not for a thread that others wait for.
    #[must_use]
    pub fn compile(rules: Vec<Rule>) -> Compiled {
        Self::default().recompile(rules)
    }

    /// Compiles rules, taking over patterns that this set has compiled already, so that a changed rule costs little.
    #[must_use]
    pub fn recompile(&self, mut rules: Vec<Rule>) -> Compiled {
        rules.sort_by_key(|rule| (rule.priority, rule.id));
        let known = self.compiled_patterns();
        let mut out = Compiled::default();
        for rule in rules {
            if !rule.is_active || rule.archived_at.is_some() {
                out.set.idle.push((rule, Idle::SwitchedOff));
                continue;
            }
            match Test::of(&rule, &known) {
                Ok(test) => {
                    out.problems.extend(unknown_handlings(&rule));
                    out.set.rules.push(Entry { rule, test });
                }
                Err(problem) => out.leave_out(rule, problem),
            }
        }
        if let Err(error) = out.set.index() {
            // Gigabytes of rule text. Better no rules, and a problem for each, than an index that misses some.
            for entry in std::mem::take(&mut out.set.rules) {
                out.leave_out(entry.rule, error.to_string());
            }
        }
        out
    }

    /// Picks the rule that decides an event, or `None` when nothing matches.
    ///
    /// Allocates nothing once its thread has seen a message of this size. Cost follows the message and the rules that
    /// share words with it, not the number of rules; `benches/rules.rs` measures it.
    #[must_use]
    pub fn best_match(&self, subject: &Subject<'_>) -> Option<&Rule> {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::default();
        }
        let by_oid = subject.trap_oid.map_or(Ranks::NONE, |oid| self.oids.best(oid, subject.severity));
        let best = SCRATCH.with_borrow_mut(|scratch| {
            self.text.best(subject.message, subject.severity, by_oid, scratch, || {
                self.step_limit_hits.fetch_add(1, Ordering::Relaxed);
            })
        });
        self.rules.get(usize::try_from(best).ok()?).map(|entry| &entry.rule)
    }

    /// The number of rules that can match.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether no rule can match.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules that can match, in the order in which they are preferred.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|entry| &entry.rule)
    }

    /// How often a pattern of this set gave up at its step limit since this was last asked, over all threads.
    pub fn take_step_limit_hits(&self) -> u64 {
        self.step_limit_hits.swap(0, Ordering::Relaxed)
    }

    /// How many patterns have no fixed text of two characters and so run on every event. Each costs about a
    /// microsecond an event; this is the one thing whose cost grows with the number of rules.
    #[must_use]
    pub fn patterns_without_text(&self) -> usize {
        self.text.unannounced()
    }

    /// How many patterns need the backtracking engine.
    #[must_use]
    pub fn backtracking_patterns(&self) -> usize {
        self.rules
            .iter()
            .filter(|entry| matches!(&entry.test, Test::Regex(pattern) if pattern.is_stepped()))
            .count()
    }

    fn compiled_patterns(&self) -> HashMap<&str, Arc<Pattern>> {
        let patterns = self.rules.iter().filter_map(|entry| match &entry.test {
            Test::Regex(pattern) => Some((entry.rule.match_string.as_deref()?, Arc::clone(pattern))),
            Test::Contains(_) | Test::OidPrefix(_) => None,
        });
        patterns.collect()
    }

    fn index(&mut self) -> Result<(), aho_corasick::BuildError> {
        let mut texts = Vec::new();
        for (rank, Entry { rule, test }) in (0_u32..).zip(&self.rules) {
            let text = match test {
                Test::Contains(text) => TextRule::Contains(text.clone()),
                Test::Regex(pattern) => TextRule::Regex(Arc::clone(pattern)),
                Test::OidPrefix(prefix) => {
                    self.oids.insert(prefix, rank, rule.syslog_severity);
                    continue;
                }
            };
            texts.push((rank, rule.syslog_severity, text));
        }
        self.text = TextIndex::build(texts)?;
        Ok(())
    }
}

impl Compiled {
    fn leave_out(&mut self, rule: Rule, problem: String) {
        self.problems.push(RuleProblem { rule_id: rule.id, left_out: true, problem: problem.clone() });
        self.set.idle.push((rule, Idle::Unusable(problem)));
    }
}

impl Test {
    fn of(rule: &Rule, known: &HashMap<&str, Arc<Pattern>>) -> Result<Self, String> {
        let text = rule.match_string.as_deref().filter(|text| !text.trim().is_empty());
        match (rule.match_type, text, rule.trap_oid.as_deref()) {
            (MatchType::Contains, Some(text), _) => Ok(Self::Contains(fold::fold(text))),
            (MatchType::Regex, Some(text), _) => match known.get(text) {
                Some(pattern) => Ok(Self::Regex(Arc::clone(pattern))),
                None => Pattern::compile(text)
                    .map(|pattern| Self::Regex(Arc::new(pattern)))
                    .map_err(|error| format!("the pattern cannot be used: {error}")),
            },
            (MatchType::OidPrefix, _, Some(oid)) => {
                oid.parse().map(Self::OidPrefix).map_err(|error| format!("the OID cannot be used: {error}"))
            }
            (MatchType::Contains | MatchType::Regex, None, _) => Err("it has no text to look for".into()),
            (MatchType::OidPrefix, _, None) => Err("it has no OID".into()),
        }
    }
}

fn unknown_handlings(rule: &Rule) -> impl Iterator<Item = RuleProblem> {
    [("production", &rule.prod_handling), ("development", &rule.dev_handling)]
        .into_iter()
        .filter(|(_, handling)| !handling.is_known())
        .map(|(environment, handling)| RuleProblem {
            rule_id: rule.id,
            left_out: false,
            problem: format!(
                "its {environment} handling `{handling}` is not a known word, so it only audits"
            ),
        })
}
