//! What becomes of one event: the rule that decides it, where its host belongs, and so whether anybody is told.
//!
//! Pure: an event and a snapshot in, a decision out. It cannot fail; entries that are no events never get here.

use mutt_core::{
    domain::{
        audit::{EventAudit, Outcome, UNHANDLED},
        event::Event,
        host::Environment,
        rule::{Handling, Rule},
    },
    rules::Subject,
};

use crate::rule_set::Snapshot;

/// The widest host name of the audit, in characters.
const HOSTNAME_MAX_CHARS: usize = 255;
/// The widest correlation id of the audit, in characters.
const CORRELATION_MAX_CHARS: usize = 128;

/// What the rules say about an event.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'r> {
    /// Which handling counts.
    pub environment: Environment,
    /// The rule that decides; `None` when no rule matched.
    pub rule: Option<&'r Rule>,
}

/// Decides an event.
#[must_use]
pub fn decide<'r>(event: &Event<'_>, snapshot: &'r Snapshot) -> Decision<'r> {
    Decision {
        environment: snapshot.development_hosts.environment_of(&event.hostname),
        rule: snapshot.rules.best_match(&Subject::from(event)),
    }
}

impl<'r> Decision<'r> {
    /// What the rule says for this environment.
    #[must_use]
    pub fn handling(&self) -> Option<&'r Handling> {
        let rule = self.rule?;
        Some(match self.environment {
            Environment::Production => &rule.prod_handling,
            Environment::Development => &rule.dev_handling,
        })
    }

    /// Whether somebody is told.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.handling().is_some_and(Handling::is_forwarding)
    }

    /// The audit row of this decision. Text that another producer made wider than its column is cut, not refused.
    #[must_use]
    pub fn audit_row<'a>(&self, event: &'a Event<'_>) -> EventAudit<'a>
    where
        'r: 'a,
    {
        EventAudit {
            event_id: event.id,
            received_at: event.received_at,
            event_timestamp: event.event_time,
            hostname: cut(&event.hostname, HOSTNAME_MAX_CHARS),
            matched_rule_id: self.rule.map(|rule| rule.id),
            rule_version: self.rule.map(|rule| rule.version),
            handling_decision: self.handling().map_or(UNHANDLED, Handling::as_str),
            forwarded_to_moog: self.forwards(),
            outcome: if self.rule.is_some() { Outcome::Handled } else { Outcome::Unhandled },
            environment: Some(self.environment),
            team_assignment: self.rule.map(|rule| rule.team_assignment.as_str()),
            source: event.source,
            correlation_id: cut(&event.correlation_id, CORRELATION_MAX_CHARS),
            raw_message: event.raw,
        }
    }
}

/// At most the first `chars` characters.
pub(crate) fn cut(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| text.split_at(end).0)
}

#[cfg(test)]
mod tests {
    use mutt_core::rules::RuleSet;

    use super::*;

    fn snapshot() -> Snapshot {
        let rule = Rule {
            match_string: Some("down".into()),
            prod_handling: Handling::new("Page_only"),
            dev_handling: Handling::new("Ignore"),
            team_assignment: "NetOps".into(),
            version: 3,
            ..Rule::new(7)
        };
        Snapshot {
            rules: RuleSet::compile(vec![rule]).set,
            development_hosts: ["lab1"].iter().collect(),
            ..Snapshot::default()
        }
    }

    fn event(host: &str, message: &str) -> String {
        format!(
            r#"{{"_id":"01920000-0000-7000-8000-000000000001","_received_at":"2025-11-13T02:13:20Z","hostname":"{host}","message":"{message}"}}"#
        )
    }

    #[test]
    fn the_environment_chooses_the_handling() {
        let snapshot = snapshot();
        let raw = event("core1", "link down");
        let event_prod = Event::decode(&raw).unwrap();
        let decision = decide(&event_prod, &snapshot);
        let row = decision.audit_row(&event_prod);
        assert_eq!((row.handling_decision, row.forwarded_to_moog), ("Page_only", true));
        assert_eq!((row.matched_rule_id, row.rule_version), (Some(7), Some(3)));
        assert_eq!(row.team_assignment, Some("NetOps"));

        let raw = event("LAB1.example.com", "link down");
        let event_dev = Event::decode(&raw).unwrap();
        let row = decide(&event_dev, &snapshot).audit_row(&event_dev);
        assert_eq!((row.handling_decision, row.forwarded_to_moog), ("Ignore", false));
        assert_eq!(row.environment, Some(Environment::Development));
    }

    #[test]
    fn an_event_without_a_rule_is_unhandled_and_has_no_team() {
        let snapshot = snapshot();
        let raw = event("core1", "all is well");
        let event = Event::decode(&raw).unwrap();
        let row = decide(&event, &snapshot).audit_row(&event);
        assert_eq!((row.outcome, row.handling_decision), (Outcome::Unhandled, UNHANDLED));
        assert_eq!((row.matched_rule_id, row.team_assignment, row.forwarded_to_moog), (None, None, false));
    }

    #[test]
    fn text_wider_than_its_column_is_cut_between_characters() {
        let raw = event(&"é".repeat(300), "x");
        let event = Event::decode(&raw).unwrap();
        let snapshot = snapshot();
        assert_eq!(decide(&event, &snapshot).audit_row(&event).hostname.chars().count(), 255);
        assert_eq!(cut("ab", 2), "ab");
    }
}
