//! The three states, by the names that Redis, dashboards and people know.

/// What the breaker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Traffic flows.
    Closed,
    /// One probe is out.
    HalfOpen,
    /// Nothing is sent.
    Open,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    /// The value of `mutt_circuit_breaker_state`.
    #[must_use]
    pub fn as_gauge(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }

    /// The word in Redis and in metric labels, as the original wrote it.
    #[must_use]
    pub fn as_label(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::HalfOpen => "HALF_OPEN",
            Self::Open => "OPEN",
        }
    }

    pub(super) fn from_word(word: &str) -> Self {
        // Anything else was written by nobody we know; the script treats it as not closed as well.
        Self::ALL.into_iter().find(|state| state.as_label() == word).unwrap_or(Self::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_gauges_are_the_originals() {
        let seen: Vec<_> = State::ALL.iter().map(|state| (state.as_label(), state.as_gauge())).collect();
        assert_eq!(seen, [("CLOSED", 0), ("HALF_OPEN", 1), ("OPEN", 2)]);
        assert_eq!(State::from_word("HALF_OPEN"), State::HalfOpen);
        assert_eq!(State::from_word("ajar"), State::Open);
    }
}
