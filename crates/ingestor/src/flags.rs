//! The flags of one event while it is being made; nearly all events have none or one, so nothing is allocated.

use mutt_core::domain::event::Flag;

/// Every flag once, which is the most that one event can have.
const MOST: usize = 10;

/// Flags in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Flags {
    flags: [Flag; MOST],
    count: usize,
}

impl Default for Flags {
    fn default() -> Self {
        Self { flags: [Flag::TimestampMissing; MOST], count: 0 }
    }
}

impl Flags {
    /// Adds a flag, when there is one and it is new.
    pub(crate) fn add(&mut self, flag: Option<Flag>) {
        let Some(flag) = flag.filter(|flag| !self.as_slice().contains(flag)) else { return };
        if let Some(place) = self.flags.get_mut(self.count) {
            *place = flag;
            self.count += 1;
        }
    }

    /// Adds `flag` when `condition` holds.
    pub(crate) fn add_if(&mut self, condition: bool, flag: Flag) {
        self.add(condition.then_some(flag));
    }

    /// What was added.
    pub(crate) fn as_slice(&self) -> &[Flag] {
        self.flags.get(..self.count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_kept_once_and_in_order() {
        let mut flags = Flags::default();
        assert_eq!(flags.as_slice(), []);
        flags.add_if(true, Flag::NotUtf8);
        flags.add_if(false, Flag::MessageCut);
        flags.add(Some(Flag::HostnameCut));
        flags.add(Some(Flag::NotUtf8));
        assert_eq!(flags.as_slice(), [Flag::NotUtf8, Flag::HostnameCut]);
    }
}
