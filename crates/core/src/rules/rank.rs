//! A rule's rank: its place in the order of (priority, id). The lowest rank that matches wins.

use crate::domain::event::SyslogSeverity;

/// Among rules that share one condition, the lowest rank for each severity that an event can have, or lack.
#[derive(Debug, Clone)]
pub(super) struct Ranks([u32; 9]);

impl Default for Ranks {
    fn default() -> Self {
        Self([Self::NONE; 9])
    }
}

impl Ranks {
    /// The rank of no rule: higher than every real one.
    pub(super) const NONE: u32 = u32::MAX;
    /// The slot of an event without a severity; slots 0 to 7 are the severities.
    const WITHOUT: usize = 8;

    /// Adds a rule that wants `severity`, or does not care.
    pub(super) fn add(&mut self, rank: u32, severity: Option<SyslogSeverity>) {
        for (slot, best) in self.0.iter_mut().enumerate() {
            if severity.is_none_or(|wanted| usize::from(wanted.get()) == slot) {
                *best = rank.min(*best);
            }
        }
    }

    /// The lowest rank among the rules that accept an event of this severity.
    pub(super) fn best(&self, severity: Option<SyslogSeverity>) -> u32 {
        self.0[severity.map_or(Self::WITHOUT, |severity| usize::from(severity.get()))]
    }
}

/// Whether a rule that wants `wanted` accepts an event of severity `got`.
pub(super) fn accepts(wanted: Option<SyslogSeverity>, got: Option<SyslogSeverity>) -> bool {
    wanted.is_none_or(|wanted| got == Some(wanted))
}
