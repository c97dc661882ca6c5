//! All text rules in one pass over the message.
//!
//! One Aho-Corasick automaton holds the texts of the `contains` rules and, for each pattern, the literals of one clause
//! that a match must contain. A hit on a text decides; a hit on a literal only makes its patterns candidates, which
//! then run in order of rank until one matches or none can win any more. So the cost follows the message and the few
//! rules it could concern, not the number of rules.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use aho_corasick::AhoCorasick;

use super::{
    fold,
    literals::Clause,
    pattern::{Memory, Pattern},
    rank::{Ranks, accepts},
};
use crate::domain::event::SyslogSeverity;

/// What the index is built from: every usable text rule, by rank.
pub(super) enum TextRule {
    /// The folded text of a `contains` rule.
    Contains(String),
    Regex(Arc<Pattern>),
}

#[derive(Debug, Default)]
pub(super) struct TextIndex {
    scanner: Option<AhoCorasick>,
    /// What each of the scanner's literals stands for.
    literals: Vec<Literal>,
    /// Patterns by rank, sorted by rank.
    patterns: Vec<Candidate>,
    /// Indices into `patterns` of those that no literal announces: they run on every message.
    unannounced: Vec<u32>,
    /// The lowest rank of any text rule.
    lowest: Option<u32>,
}

#[derive(Debug, Default)]
struct Literal {
    /// The `contains` rules whose text this is.
    decides: Option<Box<Ranks>>,
    /// Indices into `patterns` of those this literal announces, ascending.
    announces: Vec<u32>,
}

#[derive(Debug)]
struct Candidate {
    rank: u32,
    severity: Option<SyslogSeverity>,
    pattern: Arc<Pattern>,
}

/// Memory that one thread uses again for every message.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    folded: String,
    candidates: Vec<u32>,
    /// Per literal, the last scan that saw it.
    seen: Vec<u32>,
    scan: u32,
    memory: Memory,
}

impl TextIndex {
    /// Builds the index from `(rank, severity, rule)` in ascending order of rank.
    ///
    /// # Errors
    /// When the automaton would exceed its addressable size (gigabytes of text).
    pub(super) fn build(
        rules: Vec<(u32, Option<SyslogSeverity>, TextRule)>,
    ) -> Result<Self, aho_corasick::BuildError> {
        let mut index = Self { lowest: rules.first().map(|rule| rule.0), ..Self::default() };
        let shared = popularity(&rules);
        let mut literals = Literals::default();
        for (rank, severity, rule) in rules {
            match rule {
                TextRule::Contains(text) => {
                    literals.get(&text).decides.get_or_insert_default().add(rank, severity);
                }
                TextRule::Regex(pattern) => {
                    let candidate = u32::try_from(index.patterns.len()).unwrap_or(Ranks::NONE);
                    match rarest(&pattern.clauses, &shared) {
                        Some(clause) => {
                            for text in clause {
                                literals.get(text).announces.push(candidate);
                            }
                        }
                        None => index.unannounced.push(candidate),
                    }
                    index.patterns.push(Candidate { rank, severity, pattern });
                }
            }
        }
        if !literals.texts.is_empty() {
            index.scanner = Some(AhoCorasick::new(&literals.texts)?);
        }
        index.literals = literals.list;
        Ok(index)
    }

    /// How many patterns run on every message, because no literal announces them.
    pub(super) fn unannounced(&self) -> usize {
        self.unannounced.len()
    }

    /// The lowest rank below `best` among the rules that match, or `best`.
    ///
    /// Calls `gave_up` for each pattern that reached its step limit; such a pattern does not match.
    pub(super) fn best(
        &self,
        message: &str,
        severity: Option<SyslogSeverity>,
        mut best: u32,
        scratch: &mut Scratch,
        gave_up: impl Fn(),
    ) -> u32 {
        let Some(lowest) = self.lowest.filter(|&lowest| lowest < best) else {
            return best;
        };
        scratch.candidates.clear();
        if let Some(scanner) = &self.scanner {
            scratch.begin(message, self.literals.len());
            for hit in scanner.find_overlapping_iter(&scratch.folded) {
                let id = hit.pattern().as_usize();
                if std::mem::replace(&mut scratch.seen[id], scratch.scan) == scratch.scan {
                    continue;
                }
                let literal = &self.literals[id];
                if let Some(ranks) = &literal.decides {
                    best = best.min(ranks.best(severity));
                    if best == lowest {
                        return best;
                    }
                }
                scratch.candidates.extend(self.worth_running(&literal.announces, best, severity));
            }
        }
        scratch.candidates.extend(self.worth_running(&self.unannounced, best, severity));
        scratch.candidates.sort_unstable();
        scratch.candidates.dedup();
        for candidate in &scratch.candidates {
            let Candidate { rank, pattern, .. } = &self.patterns[*candidate as usize];
            if *rank >= best {
                break;
            }
            match pattern.is_match(message, &mut scratch.memory) {
                Ok(true) => return *rank,
                Ok(false) => {}
                Err(_) => gave_up(),
            }
        }
        best
    }

    fn worth_running<'a>(
        &'a self,
        ascending: &'a [u32],
        best: u32,
        severity: Option<SyslogSeverity>,
    ) -> impl Iterator<Item = u32> + 'a {
        ascending
            .iter()
            .copied()
            .take_while(move |&candidate| self.patterns[candidate as usize].rank < best)
            .filter(move |&candidate| accepts(self.patterns[candidate as usize].severity, severity))
    }
}

impl Scratch {
    fn begin(&mut self, message: &str, literals: usize) {
        self.folded.clear();
        fold::fold_into(message, &mut self.folded);
        // Marks of earlier scans, of this rule set or another, are all below the new number.
        self.scan = self.scan.checked_add(1).unwrap_or_else(|| {
            self.seen.fill(0);
            1
        });
        if self.seen.len() < literals {
            self.seen.resize(literals, 0);
        }
    }
}

/// The scanner's literals while they are being collected, each once.
#[derive(Default)]
struct Literals {
    ids: HashMap<String, usize>,
    texts: Vec<String>,
    list: Vec<Literal>,
}

impl Literals {
    fn get(&mut self, text: &str) -> &mut Literal {
        let id = *self.ids.entry(text.to_owned()).or_insert_with(|| {
            self.texts.push(text.to_owned());
            self.list.push(Literal::default());
            self.list.len() - 1
        });
        &mut self.list[id]
    }
}

/// How many clauses of all patterns name each literal.
fn popularity(rules: &[(u32, Option<SyslogSeverity>, TextRule)]) -> HashMap<String, usize> {
    let mut shared = HashMap::new();
    for (_, _, rule) in rules {
        if let TextRule::Regex(pattern) = rule {
            for text in pattern.clauses.iter().flatten() {
                *shared.entry(text.clone()).or_default() += 1;
            }
        }
    }
    shared
}

/// The clause that the fewest patterns share; of equals the one with the longest literals.
fn rarest<'a>(clauses: &'a [Clause], shared: &HashMap<String, usize>) -> Option<&'a Clause> {
    clauses.iter().min_by_key(|clause| {
        let sharers: usize = clause.iter().filter_map(|text| shared.get(text)).sum();
        (sharers, Reverse(clause.iter().map(String::len).min()))
    })
}
