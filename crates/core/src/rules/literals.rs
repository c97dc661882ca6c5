//! What a message must contain before a pattern can match it.
//!
//! A pattern is reduced to clauses: lists of folded literals, of which at least one occurs in every folded text that
//! the pattern matches. One clause per pattern then goes into the scanner, so that a pattern runs only on messages
//! that could match. The idea is that of `FilteredRE2`; here one clause per pattern is enough, because the scanner
//! prefers the clause whose literals the fewest other rules use.

use fancy_regex::{Expr, LookAround};
use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};

use super::fold::{fold, fold_char};

/// Folded literals, at least one of which occurs in every match.
pub(super) type Clause = Vec<String>;

/// Shorter literals occur nearly everywhere and would only slow the scanner.
const SHORTEST: usize = 2;
/// The most spellings that one stretch of a pattern is expanded to.
const MOST_SPELLINGS: usize = 16;
/// The largest character class that is expanded, after folding.
const MOST_LETTERS: usize = 4;
/// The most copies of a repeated part that are written out.
const MOST_COPIES: u32 = 8;

/// What is known about a part of a pattern.
enum Known {
    /// Its match is exactly one of these texts.
    Exactly(Vec<String>),
    /// Its match satisfies all of these clauses.
    Contains(Vec<Clause>),
}

impl Known {
    fn nothing() -> Self {
        Self::Contains(Vec::new())
    }

    fn empty() -> Self {
        Self::Exactly(vec![String::new()])
    }

    fn clauses(self) -> Vec<Clause> {
        match self {
            Self::Exactly(spellings)
                if !spellings.is_empty() && spellings.iter().all(|spelling| spelling.len() >= SHORTEST) =>
            {
                vec![spellings]
            }
            Self::Exactly(_) => Vec::new(),
            Self::Contains(clauses) => clauses,
        }
    }
}

/// The clauses of a pattern of the linear engine.
pub(super) fn of_hir(hir: &Hir) -> Vec<Clause> {
    known_of_hir(hir).clauses()
}

/// The clauses of a pattern of the backtracking engine.
pub(super) fn of_expr(expr: &Expr) -> Vec<Clause> {
    known_of_expr(expr).clauses()
}

fn known_of_hir(hir: &Hir) -> Known {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Known::empty(),
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0)
            .map_or_else(|_| Known::nothing(), |text| Known::Exactly(vec![fold(text)])),
        HirKind::Class(class) => letters(class),
        HirKind::Repetition(repetition) => {
            repeat(known_of_hir(&repetition.sub), repetition.min, repetition.max)
        }
        HirKind::Capture(capture) => known_of_hir(&capture.sub),
        HirKind::Concat(parts) => concat(parts.iter().map(known_of_hir)),
        HirKind::Alternation(branches) => alternate(branches.iter().map(known_of_hir)),
    }
}

fn known_of_expr(expr: &Expr) -> Known {
    match expr {
        Expr::Empty | Expr::Assertion(_) | Expr::KeepOut => Known::empty(),
        Expr::Literal { val, .. } => Known::Exactly(vec![fold(val)]),
        Expr::Concat(parts) => concat(parts.iter().map(known_of_expr)),
        Expr::Alt(branches) => alternate(branches.iter().map(known_of_expr)),
        Expr::Group(inner) | Expr::AtomicGroup(inner) => known_of_expr(inner),
        // What is looked for must be in the message, but it overlaps what stands beside it.
        Expr::LookAround(inner, LookAround::LookAhead | LookAround::LookBehind) => {
            Known::Contains(known_of_expr(inner).clauses())
        }
        Expr::Repeat { child, lo, hi, .. } => {
            let (Ok(lo), hi) = (u32::try_from(*lo), u32::try_from(*hi).ok()) else {
                return Known::nothing();
            };
            repeat(known_of_expr(child), lo, hi)
        }
        Expr::Delegate { inner, .. } => ParserBuilder::new()
            .case_insensitive(true)
            .build()
            .parse(inner)
            .map_or_else(|_| Known::nothing(), |hir| known_of_hir(&hir)),
        // Everything else, and every kind of expression yet to come, promises nothing.
        _ => Known::nothing(),
    }
}

fn letters(class: &Class) -> Known {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) if class.is_ascii() => {
            class.ranges().iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
        }
        Class::Bytes(_) => return Known::nothing(),
    };
    let mut letters = Vec::new();
    for c in ranges.into_iter().flat_map(|(first, last)| first..=last) {
        let letter = fold_char(c).to_string();
        if !letters.contains(&letter) {
            letters.push(letter);
        }
        if letters.len() > MOST_LETTERS {
            return Known::nothing();
        }
    }
    // A class without members matches nothing at all; "nothing known" is the safe thing to say of it.
    if letters.is_empty() { Known::nothing() } else { Known::Exactly(letters) }
}

fn repeat(part: Known, min: u32, max: Option<u32>) -> Known {
    match (part, min, max) {
        (Known::Exactly(mut spellings), 0, Some(1)) if spellings.len() < MOST_SPELLINGS => {
            spellings.push(String::new());
            Known::Exactly(spellings)
        }
        (_, 0, _) => Known::nothing(),
        (part, 1, Some(1)) => part,
        (Known::Exactly(spellings), 2..=MOST_COPIES, Some(max)) if min == max && spellings.len() == 1 => {
            let copies = |spelling: &String| (0..max).map(|_| spelling.as_str()).collect();
            Known::Exactly(spellings.iter().map(copies).collect())
        }
        (part, ..) => Known::Contains(part.clauses()),
    }
}

fn concat(parts: impl Iterator<Item = Known>) -> Known {
    let mut clauses = Vec::new();
    let mut stretch = vec![String::new()];
    let mut whole = true;
    for part in parts {
        match part {
            Known::Exactly(spellings) if stretch.len() * spellings.len() <= MOST_SPELLINGS => {
                stretch = stretch
                    .iter()
                    .flat_map(|head| spellings.iter().map(move |tail| format!("{head}{tail}")))
                    .collect();
            }
            Known::Exactly(spellings) => {
                whole = false;
                clauses.extend(Known::Exactly(std::mem::replace(&mut stretch, spellings)).clauses());
            }
            Known::Contains(more) => {
                whole = false;
                clauses
                    .extend(Known::Exactly(std::mem::replace(&mut stretch, vec![String::new()])).clauses());
                clauses.extend(more);
            }
        }
    }
    if whole {
        return Known::Exactly(stretch);
    }
    clauses.extend(Known::Exactly(stretch).clauses());
    Known::Contains(clauses)
}

fn alternate(branches: impl Iterator<Item = Known>) -> Known {
    let mut exact = Vec::new();
    let mut any_of = Clause::new();
    let mut all_exact = true;
    for branch in branches {
        match branch {
            Known::Exactly(spellings) => exact.extend(spellings),
            Known::Contains(clauses) => {
                all_exact = false;
                // One clause of each branch is promised; the one with the longest literals says most.
                let longest = |clause: &Clause| clause.iter().map(String::len).min();
                let Some(clause) = clauses.into_iter().max_by_key(longest) else {
                    return Known::nothing();
                };
                any_of.extend(clause);
            }
        }
    }
    exact.sort_unstable();
    exact.dedup();
    if all_exact && exact.len() <= MOST_SPELLINGS {
        return Known::Exactly(exact);
    }
    if exact.iter().any(|spelling| spelling.len() < SHORTEST) {
        return Known::nothing();
    }
    any_of.extend(exact);
    Known::Contains(vec![any_of])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clauses(pattern: &str) -> Vec<Vec<String>> {
        let hir = ParserBuilder::new().case_insensitive(true).build().parse(pattern).unwrap();
        of_hir(&hir)
    }

    fn stepped(pattern: &str) -> Vec<Vec<String>> {
        of_expr(&Expr::parse_tree(pattern).unwrap().expr)
    }

    #[test]
    fn literals_are_folded_and_joined_over_case_classes() {
        assert_eq!(clauses("Link DOWN"), [["link down"]]);
        assert_eq!(
            clauses(r"%BGP-5-ADJCHANGE: neighbor 10\.4\.7\.\d+ (Up|Down)"),
            [vec!["%bgp-5-adjchange: neighbor 10.4.7."], vec![" down", " up"]]
        );
    }

    #[test]
    fn options_and_alternatives_are_spelt_out() {
        assert_eq!(clauses("link-?down"), [["link-down", "linkdown"]]);
        assert_eq!(clauses("(fan|power) failed"), [["fan failed", "power failed"]]);
        assert_eq!(clauses("(fan.*down|power.*worse)"), [["down", "worse"]]);
    }

    #[test]
    fn a_pattern_without_a_certain_literal_promises_nothing() {
        for pattern in [r"\d+", "a|", "(abc)?", "x*", r"abc|\d+", "[a-z]+", "a.b", "(?i)[^a]"] {
            assert!(clauses(pattern).is_empty(), "{pattern}");
        }
    }

    #[test]
    fn look_around_promises_what_it_demands_but_not_what_it_forbids() {
        assert_eq!(stepped("down(?! for maintenance)"), [["down"]]);
        assert_eq!(stepped("(?<=port )down"), [["port "], ["down"]]);
        assert_eq!(stepped(r"(ab) twice \1, (cd)+"), [["ab twice "], [", "], ["cd"]]);
    }
}
