//! A rule: which events it is about, and what is to happen to them.
//!
//! A [`Rule`] is a row as it is stored, whatever that row says. Whether it can match at all is decided where patterns
//! are compiled, in [`crate::rules`]; what may be stored is decided there too, by [`crate::rules::RuleDraft`].

use std::fmt;

use chrono::{DateTime, Utc};

use super::event::SyslogSeverity;

/// One row of `alert_rules`.
///
/// ```
/// use mutt_core::domain::rule::{Handling, MatchType, Rule};
///
/// let rule = Rule {
///     match_type: MatchType::Contains,
///     match_string: Some("LINK-DOWN".into()),
///     priority: 5,
///     prod_handling: Handling::new("Page_and_ticket"),
///     dev_handling: Handling::new("Ignore"),
///     ..Rule::new(1)
/// };
/// assert!(rule.prod_handling.is_forwarding() && !rule.dev_handling.is_forwarding());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The key; breaks ties between equal priorities, lower first.
    pub id: i32,
    /// A short name for people.
    pub name: Option<String>,
    /// Why the rule exists.
    pub description: Option<String>,
    /// How the rule looks at an event.
    pub match_type: MatchType,
    /// The text or pattern of a `contains` or `regex` rule.
    pub match_string: Option<String>,
    /// The prefix of an `oid_prefix` rule, as it was typed.
    pub trap_oid: Option<String>,
    /// When set, only events of exactly this severity match.
    pub syslog_severity: Option<SyslogSeverity>,
    /// Lower wins.
    pub priority: i32,
    /// What happens to events of hosts that are not development hosts.
    pub prod_handling: Handling,
    /// What happens to events of development hosts.
    pub dev_handling: Handling,
    /// Who is told.
    pub team_assignment: String,
    /// Overrides the event's severity at Moogsoft; 0 (clear) to 5 (critical).
    pub moog_severity: Option<u8>,
    /// Whether the rule takes part at all.
    pub is_active: bool,
    /// Counts the changes of this rule, from 1.
    pub version: i32,
    /// When it was made; `None` for rows that are older than this column.
    pub created_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: Option<String>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// Who changed it last.
    pub updated_by: Option<String>,
    /// When it was retired; a retired rule never matches and stays only because the audit names it.
    pub archived_at: Option<DateTime<Utc>>,
}

/// The priority of a rule that does not say one, as in the original's schema.
pub const DEFAULT_PRIORITY: i32 = 100;

impl Rule {
    /// A rule with the schema's defaults and nothing to match yet.
    #[must_use]
    pub fn new(id: i32) -> Self {
        Self {
            id,
            name: None,
            description: None,
            match_type: MatchType::Contains,
            match_string: None,
            trap_oid: None,
            syslog_severity: None,
            priority: DEFAULT_PRIORITY,
            prod_handling: Handling::new("ignore"),
            dev_handling: Handling::new("ignore"),
            team_assignment: String::new(),
            moog_severity: None,
            is_active: true,
            version: 1,
            created_at: None,
            created_by: None,
            updated_at: None,
            updated_by: None,
            archived_at: None,
        }
    }
}

/// How a rule looks at an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchType {
    /// The message contains the rule's text, in any case.
    Contains,
    /// The rule's pattern is found anywhere in the message, in any case.
    Regex,
    /// The trap's OID is the rule's OID or lies below it.
    OidPrefix,
}

impl MatchType {
    /// Every way, in the order they are offered to people.
    pub const ALL: [Self; 3] = [Self::Contains, Self::Regex, Self::OidPrefix];

    /// The word in the database and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::Regex => "regex",
            Self::OidPrefix => "oid_prefix",
        }
    }

    /// The type that a word names (exactly, as the database's constraint does), or `None`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for MatchType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a rule decides for an event: free text as it was typed, of which some words mean something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Handling(String);

impl Handling {
    /// The words that send an alert on.
    pub const FORWARDING: [&'static str; 3] = ["page_and_ticket", "page_only", "ticket_only"];
    /// The words that keep an event in the audit only. MUTT itself sends no mail: `email_only` is audited like the rest.
    pub const AUDIT_ONLY: [&'static str; 5] = ["ignore", "log_only", "email_only", "suppress", "none"];

    /// Keeps the text as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as it was typed; the audit and the alert carry it in this form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an event decided so becomes an alert.
    #[must_use]
    pub fn is_forwarding(&self) -> bool {
        self.is_one_of(&Self::FORWARDING)
    }

    /// Whether the text is one of the words above. Text that is not acts as audit only, which is rarely what its
    /// author meant; so no new rule may hold it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.is_forwarding() || self.is_one_of(&Self::AUDIT_ONLY)
    }

    fn is_one_of(&self, words: &[&str]) -> bool {
        let text = self.0.trim();
        words.iter().any(|word| word.eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forwarding_words_forward_in_any_case_and_nothing_else_does() {
        for text in ["page_and_ticket", "Page_only", " TICKET_ONLY "] {
            assert!(Handling::new(text).is_forwarding(), "{text}");
        }
        for text in ["Ignore", "log_only", "page", "pageonly", "page-only", ""] {
            assert!(!Handling::new(text).is_forwarding(), "{text}");
        }
    }

    #[test]
    fn a_typo_is_not_a_known_handling() {
        assert!(Handling::new("Suppress").is_known());
        assert!(!Handling::new("page_onyl").is_known());
    }

    #[test]
    fn match_type_words_round_trip() {
        for kind in MatchType::ALL {
            assert_eq!(MatchType::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(MatchType::from_word("Regex"), None);
    }
}
