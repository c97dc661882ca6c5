//! What may change while the alerter runs: a live setting where there is one, else the process's own.

use std::time::Duration;

use mutt_core::redis::live_settings::{
    ALERTER_DEFER_SLEEP, ALERTER_QUEUE_SHED_THRESHOLD, ALERTER_QUEUE_WARN_THRESHOLD, CACHE_RELOAD_INTERVAL,
    LiveSettings, UNHANDLED_EXPIRY, UNHANDLED_THRESHOLD,
};

use crate::{alert::UnhandledLimits, settings::RuleSettings};

/// The limits as they are right now; a clone follows the same live settings.
#[derive(Debug, Clone)]
pub struct Limits {
    own: RuleSettings,
    live: LiveSettings,
}

impl Limits {
    /// The process's own settings, which live ones override.
    #[must_use]
    pub fn new(own: RuleSettings, live: LiveSettings) -> Self {
        Self { own, live }
    }

    /// How often everything is read anew, changed or not.
    #[must_use]
    pub fn reload_interval(&self) -> Duration {
        self.live.get_or(CACHE_RELOAD_INTERVAL, self.own.reload_interval)
    }

    /// When unhandled messages become a meta-alert.
    #[must_use]
    pub fn unhandled(&self) -> UnhandledLimits {
        UnhandledLimits {
            threshold: self.live.get_or(UNHANDLED_THRESHOLD, self.own.unhandled_threshold),
            expiry: self.live.get_or(UNHANDLED_EXPIRY, self.own.unhandled_expiry),
        }
    }

    /// The team of a host that is on no list.
    #[must_use]
    pub fn default_team(&self) -> &str {
        &self.own.unhandled_team
    }

    /// Beginning of the names of the counters of unhandled messages.
    #[must_use]
    pub fn unhandled_prefix(&self) -> &str {
        &self.own.unhandled_prefix
    }

    /// Tries after the first.
    #[must_use]
    pub fn max_retries(&self) -> u32 {
        self.own.max_retries
    }

    /// Alerts on the alert queue above which people are warned.
    #[must_use]
    pub fn warn_depth(&self) -> u64 {
        self.live.get_or(ALERTER_QUEUE_WARN_THRESHOLD, self.own.warn_depth)
    }

    /// Alerts on the alert queue from which on no event is taken.
    #[must_use]
    pub fn full_depth(&self) -> u64 {
        self.live.get_or(ALERTER_QUEUE_SHED_THRESHOLD, self.own.full_depth)
    }

    /// How long to wait before the alert queue is looked at again.
    #[must_use]
    pub fn defer(&self) -> Duration {
        self.live.get_or(ALERTER_DEFER_SLEEP, self.own.defer)
    }
}
