//! The index against a naive matcher, and the rules of precedence one by one.

use proptest::prelude::*;

use super::*;
use crate::domain::rule::Handling;

fn contains(id: i32, priority: i32, text: &str) -> Rule {
    Rule { match_string: Some(text.into()), priority, ..Rule::new(id) }
}

fn regex(id: i32, priority: i32, pattern: &str) -> Rule {
    Rule { match_type: MatchType::Regex, ..contains(id, priority, pattern) }
}

fn oid(id: i32, priority: i32, prefix: &str) -> Rule {
    Rule { match_type: MatchType::OidPrefix, trap_oid: Some(prefix.into()), priority, ..Rule::new(id) }
}

fn text(message: &str) -> Subject<'_> {
    Subject { message, trap_oid: None, severity: None }
}

fn winner(rules: Vec<Rule>, subject: &Subject<'_>) -> Option<i32> {
    RuleSet::compile(rules).set.best_match(subject).map(|rule| rule.id)
}

#[test]
fn lower_priority_number_wins_and_lower_id_breaks_ties() {
    let rules =
        vec![contains(1, 9, "down"), contains(7, 5, "DOWN"), regex(3, 5, "d.wn"), contains(2, 6, "link")];
    assert_eq!(winner(rules, &text("link down")), Some(3));
}

#[test]
fn text_rules_match_events_with_an_oid_too() {
    let trap = Subject { trap_oid: Some(".1.3.6.1.4"), ..text("linkDown on Gi0/1") };
    assert_eq!(winner(vec![oid(1, 9, "1.3.6"), contains(2, 5, "linkdown")], &trap), Some(2));
    assert_eq!(winner(vec![oid(1, 4, "1.3.6.*"), contains(2, 5, "linkdown")], &trap), Some(1));
}

#[test]
fn an_oid_rule_ignores_the_text() {
    assert_eq!(winner(vec![oid(1, 1, "1.3.6")], &text("1.3.6.1")), None);
}

#[test]
fn severity_must_be_equal_when_a_rule_names_one() {
    let rule = Rule { syslog_severity: SyslogSeverity::new(3), ..contains(1, 1, "x") };
    let event = |severity| Subject { severity, ..text("x") };
    assert_eq!(winner(vec![rule.clone()], &event(SyslogSeverity::new(3))), Some(1));
    assert_eq!(winner(vec![rule.clone()], &event(SyslogSeverity::new(2))), None);
    assert_eq!(winner(vec![rule], &event(None)), None);
}

#[test]
fn rules_that_are_off_retired_or_broken_never_match() {
    let off = Rule { is_active: false, ..contains(1, 1, "x") };
    let retired = Rule { archived_at: chrono::DateTime::from_timestamp(0, 0), ..contains(2, 1, "x") };
    let compiled =
        RuleSet::compile(vec![off, retired, regex(3, 1, "x("), oid(4, 1, ""), contains(5, 1, " ")]);
    assert_eq!(compiled.set.best_match(&text("x")), None);
    let left_out: Vec<i32> = compiled.problems.iter().filter(|p| p.left_out).map(|p| p.rule_id).collect();
    assert_eq!(left_out, [3, 4, 5]);
}

#[test]
fn a_handling_that_is_not_a_known_word_is_pointed_out() {
    let typo = Rule { prod_handling: Handling::new("page_onyl"), ..contains(1, 1, "x") };
    let compiled = RuleSet::compile(vec![typo]);
    assert_eq!(compiled.set.len(), 1);
    assert!(compiled.problems[0].problem.contains("page_onyl"));
}

#[test]
fn every_rule_gets_its_reason() {
    let severe = Rule { syslog_severity: SyslogSeverity::new(2), ..contains(4, 4, "down") };
    let off = Rule { is_active: false, ..contains(7, 1, "down") };
    let rules = vec![
        regex(1, 1, "^link"),
        oid(2, 2, "1.3"),
        contains(3, 3, "power"),
        severe,
        regex(5, 5, "d(ow)n"),
        contains(6, 6, "IS"),
        off,
    ];
    let set = RuleSet::compile(rules).set;
    let event = Subject { severity: SyslogSeverity::new(4), ..text("it is down") };
    let explanation = set.explain(&event);
    assert_eq!(explanation.winner, Some(5));
    let told: Vec<_> =
        explanation.rules.iter().map(|rule| (rule.rule_id, rule.verdict.to_string())).collect();
    let expected = [
        (1, "its pattern is not found in the message"),
        (2, "matches by OID only, and the event has none"),
        (3, "the message does not contain its text"),
        (4, "matches only severity 2 (critical), the event has 4 (warning)"),
        (5, "wins"),
        (6, "matches too, but rule 5 (priority 5) comes first"),
        (7, "is switched off"),
    ];
    assert_eq!(told, expected.map(|(id, words)| (id, words.to_owned())));
    assert_eq!(explanation.rules[4].verdict.span(), Some(&(6..10)));
    assert_eq!(explanation.rules[5].verdict.span(), Some(&(3..5)));
}

#[test]
fn a_pattern_that_gives_up_loses_and_is_counted() {
    let set = RuleSet::compile(vec![regex(1, 1, r"(?=(a|aa)+\1b)a"), contains(2, 2, "aaa")]).set;
    let message = format!("{}b", "a".repeat(60));
    // Ends in `ab` but never doubled before it, so the engine tries every split.
    let message = message.replace('b', "cab");
    assert_eq!(set.best_match(&text(&message)).map(|rule| rule.id), Some(2));
    assert_eq!((set.take_step_limit_hits(), set.take_step_limit_hits()), (1, 0));
}

#[test]
fn a_changed_rule_takes_over_the_patterns_that_did_not_change() {
    let first = RuleSet::compile(vec![regex(1, 1, "a+b"), regex(2, 2, "c+d")]).set;
    let second = first.recompile(vec![regex(1, 1, "a+b"), regex(2, 2, "c+e")]).set;
    let pattern = |set: &RuleSet, rank: usize| match &set.rules[rank].test {
        Test::Regex(pattern) => Arc::as_ptr(pattern),
        other => panic!("{other:?}"),
    };
    assert_eq!(pattern(&first, 0), pattern(&second, 0));
    assert_ne!(pattern(&first, 1), pattern(&second, 1));
}

/// The definition, written down without any of the machinery: every rule is tried, the best that matches is taken.
struct Naive(Vec<(Rule, Option<Found>)>);

type Found = Box<dyn Fn(&str) -> bool>;

fn naive_pattern(pattern: &str) -> Found {
    if let Ok(linear) = ::regex::RegexBuilder::new(pattern).case_insensitive(true).build() {
        return Box::new(move |message| linear.is_match(message));
    }
    let stepped = fancy_regex::RegexBuilder::new(pattern).case_insensitive(true).build().unwrap();
    Box::new(move |message| stepped.is_match(message).unwrap())
}

impl Naive {
    fn new(rules: &[Rule]) -> Self {
        let one = |rule: &Rule| {
            let text = rule.match_string.as_deref().unwrap_or_default();
            let pattern = match rule.match_type {
                MatchType::Contains => Some(naive_pattern(&regex_syntax::escape(text))),
                MatchType::Regex => Some(naive_pattern(text)),
                MatchType::OidPrefix => None,
            };
            (rule.clone(), pattern)
        };
        Self(rules.iter().map(one).collect())
    }

    fn winner(&self, subject: &Subject<'_>) -> Option<i32> {
        let dotted = |oid: &str| {
            format!("{}.", oid.trim_start_matches('.').trim_end_matches(".*").trim_end_matches('.'))
        };
        let matches = |(rule, pattern): &&(Rule, Option<Found>)| {
            let by_kind = match pattern {
                Some(found) => found(subject.message),
                None => subject
                    .trap_oid
                    .is_some_and(|oid| dotted(oid).starts_with(&dotted(rule.trap_oid.as_deref().unwrap()))),
            };
            by_kind && rule.syslog_severity.is_none_or(|wanted| subject.severity == Some(wanted))
        };
        let matching = self.0.iter().filter(matches).map(|(rule, _)| rule);
        matching.min_by_key(|rule| (rule.priority, rule.id)).map(|rule| rule.id)
    }
}

/// A small alphabet with awkward letters, so that rules and messages meet often.
fn any_text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let letters = prop::sample::select("aabBkK\u{212a}sſßẞσςΣµİı 1.-".chars().collect::<Vec<_>>());
    prop::collection::vec(letters, length).prop_map(String::from_iter)
}

fn any_pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => any_text(1..4).prop_map(|text| regex_syntax::escape(&text)),
        1 => prop::sample::select(vec![".", r"\d", r"\w", "[ab]", "[^a]", "[kſ]", r"\b", "^", "$", "(?-i:aB)", "[a-z]"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
            1 => (inner.clone(), prop::sample::select(vec!["?", "*", "+", "{2}", "{2,3}", "{0,1}"])).prop_map(|(part, times)| format!("(?:{part}){times}")),
            1 => (inner, prop::sample::select(vec!["(?=", "(?!", "(?<=a)(?:", "(?>"])).prop_map(|(part, look)| format!("{look}{part})")),
        ]
    })
}

fn any_oid() -> impl Strategy<Value = String> {
    let ends = prop::sample::select(vec!["", ".", ".*"]);
    (any::<bool>(), prop::collection::vec(prop::sample::select(vec!["1", "2", "10", "12"]), 1..5), ends)
        .prop_map(|(dot, arcs, end)| format!("{}{}{end}", if dot { "." } else { "" }, arcs.join(".")))
}

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    let severity = prop::option::weighted(0.3, 0_u8..3);
    let what = prop_oneof![
        3 => any_text(1..4).prop_filter("blank", |text| !text.trim().is_empty()).prop_map(|text| contains(0, 0, &text)),
        3 => any_pattern().prop_filter("pattern", |pattern| !pattern.trim().is_empty() && Pattern::compile(pattern).is_ok()).prop_map(|pattern| regex(0, 0, &pattern)),
        2 => any_oid().prop_map(|prefix| oid(0, 0, &prefix)),
    ];
    prop::collection::vec((what, 0..4, severity), 0..12).prop_map(|rules| {
        let with_ids = (1_i32..).zip(rules);
        with_ids
            .map(|(id, (rule, priority, severity))| Rule {
                id,
                priority,
                syslog_severity: severity.and_then(SyslogSeverity::new),
                ..rule
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_index_finds_what_a_naive_matcher_finds(
        rules in any_rules(),
        messages in prop::collection::vec((any_text(0..12), prop::option::of(any_oid()), prop::option::of(0_u8..3)), 1..6),
    ) {
        let naive = Naive::new(&rules);
        let set = RuleSet::compile(rules).set;
        for (message, oid, severity) in &messages {
            let oid = oid.as_ref().map(|oid| oid.trim_end_matches(".*").trim_end_matches('.'));
            let subject = Subject { message, trap_oid: oid, severity: severity.and_then(SyslogSeverity::new) };
            let expected = naive.winner(&subject);
            prop_assert_eq!(set.best_match(&subject).map(|rule| rule.id), expected, "{:?}", subject);
            prop_assert_eq!(set.explain(&subject).winner, expected);
        }
    }
}
