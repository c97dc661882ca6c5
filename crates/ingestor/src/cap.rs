//! How long the ingest queue may become.

use mutt_core::redis::live_settings::{LiveSettings, MAX_INGEST_QUEUE_SIZE};

/// The cap in force: the live setting, else the service's own.
#[derive(Debug, Clone)]
pub(crate) struct QueueCap {
    own: u64,
    live: LiveSettings,
}

impl QueueCap {
    pub(crate) fn new(own: u64, live: LiveSettings) -> Self {
        Self { own, live }
    }

    /// Entries; read per batch, so a change counts at once.
    pub(crate) fn get(&self) -> u64 {
        self.live.get_or(MAX_INGEST_QUEUE_SIZE, self.own)
    }
}
