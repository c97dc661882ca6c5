//! What is written down for good: what became of each event, and who changed what.

use chrono::{DateTime, Utc};

use super::{
    event::{EventId, EventSource},
    host::Environment,
};

/// The handling decision of an event that no rule matched.
pub const UNHANDLED: &str = "unhandled";

/// One row of the event audit, as the alerter decided it. Borrows from the event and the rule: a batch of rows costs
/// no copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventAudit<'a> {
    /// With `received_at` the key: a redelivered event has the same two and writes no second row.
    pub event_id: EventId,
    /// When MUTT received it; kept to the microsecond.
    pub received_at: DateTime<Utc>,
    /// When it happened, as far as that is known.
    pub event_timestamp: DateTime<Utc>,
    /// The device; at most 255 characters.
    pub hostname: &'a str,
    /// The rule that decided; `None` when no rule matched.
    pub matched_rule_id: Option<i32>,
    /// The version of that rule.
    pub rule_version: Option<i32>,
    /// What the rule decided, as it is written there; [`UNHANDLED`] when no rule matched. At most 100 characters.
    pub handling_decision: &'a str,
    /// Whether the decision sends an alert.
    pub forwarded_to_moog: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// Which of the rule's handlings counted.
    pub environment: Option<Environment>,
    /// Who is told; at most 100 characters.
    pub team_assignment: Option<&'a str>,
    /// The door it came in by; `None` for entries of other producers.
    pub source: Option<EventSource>,
    /// Joins the event to its request; the event's own id when there was none. At most 128 characters.
    pub correlation_id: &'a str,
    /// The event as it was queued.
    pub raw_message: &'a str,
}

/// What became of an audited event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A rule matched.
    Handled,
    /// No rule matched.
    Unhandled,
}

impl Outcome {
    /// The word in the audit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Unhandled => UNHANDLED,
        }
    }

    /// The outcome a word names, or `None`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Handled, Self::Unhandled].into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// Who changes something, and why; written beside the change, in its transaction.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// The name of a key or of a user, never any part of a key. Cut to 100 characters.
    pub name: &'a str,
    /// Why, in the author's words.
    pub reason: Option<&'a str>,
    /// Joins the change to its request; cut to 128 characters.
    pub correlation_id: Option<&'a str>,
}

/// What was done to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It was made.
    Create,
    /// It was changed.
    Update,
    /// It was removed or retired.
    Delete,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    /// The word in the configuration audit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// The operation a word names, in any case, or `None`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str().eq_ignore_ascii_case(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_word(&operation.as_str().to_lowercase()), Some(operation));
        }
        assert_eq!(Operation::from_word("DROP"), None);
        assert_eq!(Outcome::from_word("unhandled"), Some(Outcome::Unhandled));
        assert_eq!(Outcome::from_word("dead"), None);
    }
}
