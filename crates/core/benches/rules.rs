//! Matching one event against 10 to 50,000 rules: by text, pattern, OID and mixed; the rule hit first, last, or not at all.
//!
//! `cargo bench -p mutt-core --bench rules [filter]`. Each figure is the mean over [`EVENTS`] different events.

use std::hint::black_box;

use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use mutt_core::{
    domain::rule::{MatchType, Rule},
    rules::{RuleSet, Subject},
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Events per round, all different, so that the processor learns no single one.
const EVENTS: usize = 1000;

fn main() {
    divan::main();
}

#[divan::bench(args = [10, 100, 1_000, 10_000, 50_000])]
fn text(bencher: Bencher<'_, '_>, rules: usize) {
    match_all(bencher, (0..rules).map(contains).collect());
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn pattern(bencher: Bencher<'_, '_>, rules: usize) {
    match_all(bencher, (0..rules).map(regex).collect());
}

#[divan::bench(args = [10, 100, 1_000, 10_000, 50_000])]
fn oid(bencher: Bencher<'_, '_>, rules: usize) {
    match_all(bencher, (0..rules).map(oid_prefix).collect());
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn mixed(bencher: Bencher<'_, '_>, rules: usize) {
    match_all(bencher, mixture(rules));
}

/// A rule that matches everything stands first: nothing else can win.
#[divan::bench(args = [1_000, 10_000])]
fn mixed_hit_first(bencher: Bencher<'_, '_>, rules: usize) {
    let mut rules = mixture(rules);
    rules.push(Rule { match_string: Some("e".into()), priority: -1, ..Rule::new(-1) });
    match_all(bencher, rules);
}

/// A rule that matches everything stands last: every other one could still win.
#[divan::bench(args = [1_000, 10_000])]
fn mixed_hit_last(bencher: Bencher<'_, '_>, rules: usize) {
    let mut rules = mixture(rules);
    rules.push(Rule { match_string: Some("e".into()), priority: i32::MAX, ..Rule::new(-1) });
    match_all(bencher, rules);
}

#[divan::bench(args = [1_000], sample_count = 3)]
fn compile(bencher: Bencher<'_, '_>, rules: usize) {
    bencher.with_inputs(|| mixture(rules)).bench_values(RuleSet::compile);
}

fn match_all(bencher: Bencher<'_, '_>, rules: Vec<Rule>) {
    let set = RuleSet::compile(rules).set;
    let events = events();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for (message, oid) in &events {
            let subject = Subject { message, trap_oid: oid.as_deref(), severity: None };
            black_box(set.best_match(black_box(&subject)));
        }
    });
}

fn id(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

fn contains(index: usize) -> Rule {
    let text = match index % 4 {
        0 => format!("sw{index} link down"),
        1 => format!("%FAN-3-FAIL{index}"),
        2 => format!("temperature sensor {index}"),
        _ => format!("Gi{}/0/{}, changed state", index % 9, index),
    };
    Rule { match_string: Some(text), priority: id(index % 50), ..Rule::new(id(index)) }
}

fn regex(index: usize) -> Rule {
    let pattern = match index % 5 {
        0 => format!(r"link-?down.*Gi{}/0/{}", index % 9, index),
        1 => format!(r"%BGP-5-ADJCHANGE: neighbor 10\.{}\.{}\.\d+ (Up|Down)", index / 250 % 250, index % 250),
        2 => format!(r"kernel: \[\d+\.\d+\] oops{index}:"),
        3 => format!(r"^host{index}-[a-z0-9]+ .*(fail|error|crit)"),
        _ => format!(r"app{index}\[\d+\]: \w+ timeout after \d{{2,5}}ms"),
    };
    Rule { match_type: MatchType::Regex, match_string: Some(pattern), ..contains(index) }
}

fn oid_prefix(index: usize) -> Rule {
    let oid = format!("1.3.6.1.4.1.{}.{}.{}", index % 5000, 1 + index / 5000, index % 7);
    Rule { match_type: MatchType::OidPrefix, match_string: None, trap_oid: Some(oid), ..contains(index) }
}

fn mixture(rules: usize) -> Vec<Rule> {
    let one = |index: usize| match index % 10 {
        0..5 => contains(index),
        5..8 => regex(index),
        _ => oid_prefix(index),
    };
    (0..rules).map(one).collect()
}

fn events() -> Vec<(String, Option<String>)> {
    let one = |index: usize| {
        let message = match index % 4 {
            0 => format!(
                "Oct 11 22:14:15 sw{index} %BGP-5-ADJCHANGE: neighbor 10.0.{}.7 Down",
                (index * 5 + 1) % 250
            ),
            1 => format!(
                "sshd[{index}]: Accepted publickey for ops from 10.1.2.{} port 5{index} ssh2: ED25519 SHA256:abcdef",
                index % 250
            ),
            2 => format!(
                "app{}[{index}]: worker timeout after {}ms while talking to db",
                (index * 5 + 4) % 10_000,
                10 + index
            ),
            _ => format!(
                "{index}: Line protocol on Interface GigabitEthernet0/{index}, changed state to up, nothing to see here"
            ),
        };
        let oid =
            index.is_multiple_of(5).then(|| format!("1.3.6.1.4.1.{}.1.{}.0.1", index % 5000, index % 7));
        (message, oid)
    };
    (0..EVENTS).map(one).collect()
}
