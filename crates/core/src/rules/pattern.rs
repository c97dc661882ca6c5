//! One user's pattern, compiled within limits.
//!
//! A linear-time engine runs it when it can. A pattern that needs look-around or back-references runs in a backtracking
//! engine that gives up after [`STEP_LIMIT`] steps: a rule must never be able to stop a worker.
//!
//! Thousands of patterns are loaded at once, so a compiled one is only its automaton (`regex::Regex` would bring three
//! more and caches per thread: 2.5 GB for 10,000 patterns and 4 threads, against 0.2 GB). Working memory belongs to
//! the thread and serves one pattern after the other.

use std::ops::Range;

use regex_automata::{
    Input,
    hybrid::dfa::{self, DFA},
    nfa::thompson::{
        self, NFA, WhichCaptures,
        backtrack::{self, BoundedBacktracker},
        pikevm::PikeVM,
    },
};
use regex_syntax::{ParserBuilder, ast};

use super::literals::{self, Clause};

/// Compiled size of one pattern: `(a{1000}){1000}` is refused, ordinary ones need a few kilobytes.
const SIZE_LIMIT: usize = 1 << 20;
/// Nesting of groups, so that no pattern can exhaust the stack.
const NEST_LIMIT: u32 = 50;
/// Steps of the backtracking engine per event, some 5 ms: more than one for each byte of the largest event (64 KiB).
const STEP_LIMIT: usize = 100_000;
/// Up to this many bytes, trying each position beats building an automaton for the message (13 against 2 ns a byte,
/// but 8 us to begin with).
const SHORT_MESSAGE: usize = 768;

/// A compiled pattern: case-insensitive, unanchored, `^` and `$` meaning the ends of the whole message.
#[derive(Debug)]
pub(super) struct Pattern {
    engine: Engine,
    /// What every match must contain; empty when that cannot be told.
    pub(super) clauses: Vec<Clause>,
}

#[derive(Debug)]
enum Engine {
    Linear { short: BoundedBacktracker, long: Box<DFA> },
    Stepped(Box<fancy_regex::Regex>),
}

/// A thread's working memory for patterns, one after the other.
#[derive(Debug, Default)]
pub(super) struct Memory {
    short: Option<backtrack::Cache>,
    long: Option<dfa::Cache>,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// In plain words, for the author of the rule.
    pub message: String,
    /// The character it is about, counted from 1, when it is about one.
    pub column: Option<usize>,
}

/// The backtracking engine gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepLimitReached;

impl Pattern {
    /// # Errors
    /// [`PatternError`] when it is not a pattern of either engine, or is larger than the limits allow.
    pub(super) fn compile(pattern: &str) -> Result<Self, PatternError> {
        let parsed =
            ParserBuilder::new().case_insensitive(true).nest_limit(NEST_LIMIT).build().parse(pattern);
        let hir = match parsed {
            Ok(hir) => hir,
            Err(error) => return Self::compile_stepped(pattern, &error),
        };
        let config =
            thompson::Config::new().nfa_size_limit(Some(SIZE_LIMIT)).which_captures(WhichCaptures::Implicit);
        let nfa =
            thompson::Compiler::new().configure(config).build_from_hir(&hir).map_err(|_| too_large())?;
        let short = BoundedBacktracker::builder().build_from_nfa(nfa.clone()).map_err(|_| too_large())?;
        // Where it meets a word boundary beside a non-ASCII letter it stops, and the slow engine takes over.
        let config = dfa::Config::new().unicode_word_boundary(true).skip_cache_capacity_check(true);
        let long = DFA::builder().configure(config).build_from_nfa(nfa).map_err(|_| too_large())?;
        let engine = Engine::Linear { short, long: Box::new(long) };
        Ok(Self { engine, clauses: literals::of_hir(&hir) })
    }

    fn compile_stepped(pattern: &str, linear: &regex_syntax::Error) -> Result<Self, PatternError> {
        let column = match linear {
            regex_syntax::Error::Parse(error) => {
                if matches!(error.kind(), ast::ErrorKind::NestLimitExceeded(_)) {
                    return Err(too_large());
                }
                Some((error.kind().to_string(), error.span().start.column))
            }
            regex_syntax::Error::Translate(error) => {
                Some((error.kind().to_string(), error.span().start.column))
            }
            _ => None,
        };
        let engine = fancy_regex::RegexBuilder::new(pattern)
            .case_insensitive(true)
            .backtrack_limit(STEP_LIMIT)
            .delegate_size_limit(SIZE_LIMIT)
            .build();
        let needs_steps = matches!(linear, regex_syntax::Error::Parse(error) if matches!(
            error.kind(),
            ast::ErrorKind::UnsupportedLookAround | ast::ErrorKind::UnsupportedBackreference
        ));
        match engine {
            Ok(engine) => {
                let clauses = fancy_regex::Expr::parse_tree(pattern)
                    .map(|tree| literals::of_expr(&tree.expr))
                    .unwrap_or_default();
                Ok(Self { engine: Engine::Stepped(Box::new(engine)), clauses })
            }
            // The linear engine's words name the column; but for its "look-around is not supported" they would mislead.
            Err(error) => Err(match column {
                Some((message, column)) if !needs_steps => PatternError { message, column: Some(column) },
                _ => PatternError { message: error.to_string(), column: None },
            }),
        }
    }

    /// Whether the pattern is found anywhere in `message`.
    ///
    /// # Errors
    /// [`StepLimitReached`] when the backtracking engine gave up; that says nothing about the message.
    pub(super) fn is_match(&self, message: &str, memory: &mut Memory) -> Result<bool, StepLimitReached> {
        match &self.engine {
            Engine::Linear { short, .. } if message.len() <= SHORT_MESSAGE => {
                let cache = reuse(&mut memory.short, || short.create_cache(), |cache| cache.reset(short));
                let found = short.try_is_match(cache, message);
                Ok(found.unwrap_or_else(|_| slowly(short.get_nfa(), message).is_some()))
            }
            Engine::Linear { long, .. } => {
                let cache = reuse(&mut memory.long, || long.create_cache(), |cache| cache.reset(long));
                let found = long.try_search_fwd(cache, &Input::new(message).earliest(true));
                Ok(found.map_or_else(|_| slowly(long.get_nfa(), message).is_some(), |found| found.is_some()))
            }
            Engine::Stepped(engine) => engine.is_match(message).map_err(|_| StepLimitReached),
        }
    }

    /// Where the pattern is first found, in bytes. For people: takes its time and its own memory.
    ///
    /// # Errors
    /// As [`Pattern::is_match`].
    pub(super) fn find(&self, message: &str) -> Result<Option<Range<usize>>, StepLimitReached> {
        match &self.engine {
            Engine::Linear { short, .. } => Ok(slowly(short.get_nfa(), message)),
            Engine::Stepped(engine) => engine
                .find(message)
                .map(|found| found.map(|found| found.range()))
                .map_err(|_| StepLimitReached),
        }
    }

    /// Whether the pattern needs the backtracking engine.
    pub(super) fn is_stepped(&self) -> bool {
        matches!(self.engine, Engine::Stepped(_))
    }
}

fn reuse<C>(slot: &mut Option<C>, make: impl FnOnce() -> C, reset: impl FnOnce(&mut C)) -> &mut C {
    match slot {
        Some(cache) => {
            reset(cache);
            cache
        }
        None => slot.insert(make()),
    }
}

/// The engine that can run everything, in time linear in the message, but with the largest factor.
fn slowly(nfa: &NFA, message: &str) -> Option<Range<usize>> {
    let engine = PikeVM::builder().build_from_nfa(nfa.clone()).ok()?;
    engine.find(&mut engine.create_cache(), message).map(|found| found.range())
}

fn too_large() -> PatternError {
    PatternError {
        message: "the pattern is too large: its repetitions or groups multiply beyond the limit".into(),
        column: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, message: &str) -> bool {
        Pattern::compile(pattern).unwrap().is_match(message, &mut Memory::default()).unwrap()
    }

    #[test]
    fn patterns_are_unanchored_and_ignore_case() {
        assert!(matches("link-?down", "%LINK-3-UPDOWN: LINKDOWN"));
        assert!(matches("^%sys", "%SYS-5-CONFIG_I"));
        assert!(!matches("^sys", "%SYS-5-CONFIG_I"));
        assert!(matches("straße", "STRAẞE"));
    }

    #[test]
    fn look_around_and_back_references_work_and_ignore_case() {
        assert!(matches(r"down(?! for maintenance)", "Interface DOWN now"));
        assert!(!matches(r"down(?! for maintenance)", "Interface DOWN for MAINTENANCE"));
        assert!(matches(r"(\w+) equals \1", "x Abc equals Abc"));
    }

    #[test]
    fn hostile_patterns_are_refused_at_once() {
        for pattern in [
            "(a{1000}){1000}",
            r"\w{5000}",
            &"(".repeat(300),
            &format!("{}a{}", "(".repeat(60), ")".repeat(60)),
        ] {
            assert!(Pattern::compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_column() {
        let error = Pattern::compile("ab[c").unwrap_err();
        assert_eq!(error.column, Some(3), "{error}");
        let error = Pattern::compile("a(?<!b").unwrap_err();
        assert!(!error.message.contains("not supported"), "{error}");
    }

    #[test]
    fn short_and_long_messages_and_word_boundaries_agree() {
        let mut memory = Memory::default();
        for (pattern, found, missing) in [
            (r"\bdown\b", "is Down.", "breakdowns"),
            (r"\büber\b", "ist ÜBER alles", "drüber"),
            (r"f\w+ed$", "has failed", "has failed."),
            ("", "", "no message lacks nothing"),
        ] {
            let pattern = Pattern::compile(pattern).unwrap();
            for filler in [0, 10, 2 * SHORT_MESSAGE] {
                let filler = "é ".repeat(filler);
                assert_eq!(pattern.is_match(&format!("{filler}{found}"), &mut memory), Ok(true), "{found}");
                if !missing.starts_with("no ") {
                    assert_eq!(
                        pattern.is_match(&format!("{filler}{missing}"), &mut memory),
                        Ok(false),
                        "{missing}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_pattern_that_explodes_gives_up() {
        let pattern = Pattern::compile(r"(?=(a|aa)+\1b)a").unwrap();
        assert!(pattern.is_stepped());
        assert_eq!(pattern.is_match(&"a".repeat(60), &mut Memory::default()), Err(StepLimitReached));
    }
}
