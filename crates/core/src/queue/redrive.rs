//! Puts dead letters back when what killed them has healed: a stage whose queue is a dead-letter list.
//!
//! It takes a few at a time, only while the destination is healthy, and only those whose reason can heal. The others stay
//! where they are, for people. An entry that dies too often goes to the list that only people empty. It never asks
//! the destination with an event of its own making.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;
use tracing::info;

use super::{Batch, DeadLetter, Delivery, Gate, LeaseView, Settlement, Worked, Worker, entry::with_fields};

/// Reasons that an outage or a mended setting can heal; everything else needs a person's eye.
const HEALS: [&str; 2] = ["attempts_spent", "crash_loop"];

/// When and how often dead letters go back.
#[derive(Debug, Clone)]
pub struct RedriveSettings {
    /// `REMEDIATION_ENABLED`.
    pub enabled: bool,
    /// Between two batches.
    pub interval: Duration,
    /// Replays after which an entry is left to people for good.
    pub max_replays: u32,
}

/// What the redrive did since the start.
#[derive(Debug, Default)]
pub struct RedriveCounts {
    /// Batches looked at.
    pub loops: AtomicU64,
    /// Entries put back.
    pub replayed: AtomicU64,
    /// Entries that had been put back too often.
    pub poison: AtomicU64,
}

/// The worker of a dead-letter stage; `healthy` says whether its destination works.
pub struct Redrive<H> {
    settings: RedriveSettings,
    healthy: H,
    next: Mutex<Instant>,
    counts: Arc<RedriveCounts>,
}

/// Own fields of an entry that the redrive looks at.
#[derive(Deserialize)]
struct Own {
    #[serde(rename = "_replays", default)]
    replays: u32,
}

impl<H: Fn() -> bool + Send + Sync + 'static> Redrive<H> {
    /// A redrive that has just looked: the first batch comes an interval after the start.
    pub fn new(settings: RedriveSettings, healthy: H) -> Self {
        let next = Mutex::new(Instant::now() + settings.interval);
        Self { settings, healthy, next, counts: Arc::default() }
    }

    /// Its counts, which go on while it runs.
    #[must_use]
    pub fn counts(&self) -> Arc<RedriveCounts> {
        Arc::clone(&self.counts)
    }

    fn settle(&self, delivery: &Delivery, settlement: &mut Settlement) {
        let Some((why, before)) = delivery.text().ok().and_then(DeadLetter::unwrap_entry) else {
            settlement.keep(delivery);
            return;
        };
        if !HEALS.contains(&why.reason.as_str()) {
            settlement.keep(delivery);
            return;
        }
        let replays =
            serde_json::from_str::<Own>(&before).map_or(why.replays, |own| own.replays.max(why.replays));
        if replays >= self.settings.max_replays {
            self.counts.poison.fetch_add(1, Ordering::Relaxed);
            let spent = DeadLetter { replays, ..why };
            settlement.dead_letter(&Delivery::new(before.into_bytes(), 0), &spent);
            return;
        }
        // A new life: attempts begin again, and the count of lives goes with the entry.
        let set = [
            ("_replays", Some((replays + 1).to_string())),
            ("_retry_count", None),
            ("_moog_retry_count", None),
        ];
        match with_fields(&before, &set) {
            Some(entry) => {
                self.counts.replayed.fetch_add(1, Ordering::Relaxed);
                settlement.replay(delivery, entry.into_bytes());
            }
            None => {
                settlement.keep(delivery);
            }
        }
    }
}

impl<H: Fn() -> bool + Send + Sync + 'static> Worker for Redrive<H> {
    async fn gate(&self) -> Gate {
        let left = {
            let next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            next.saturating_duration_since(Instant::now())
        };
        if !self.settings.enabled || !(self.healthy)() {
            return Gate::Wait(self.settings.interval);
        }
        if left.is_zero() { Gate::Open } else { Gate::Wait(left) }
    }

    async fn work(&self, batch: &Batch, _lease: &LeaseView) -> Worked {
        let mut settlement = Settlement::new();
        for delivery in &batch.deliveries {
            self.settle(delivery, &mut settlement);
        }
        self.counts.loops.fetch_add(1, Ordering::Relaxed);
        *self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Instant::now() + self.settings.interval;
        info!(entries = batch.deliveries.len(), "looked at dead letters");
        Worked::Settle(settlement)
    }
}
