//! The delivery protocol: how an entry gets from one stage to the next without being lost or doubled.
//!
//! A process runs several **lanes**; each holds at most one [`Batch`], under a lease that the process renews. Every
//! transition is one script, fenced by the lease and the batch's sequence number, so a lane that wakes up late
//! changes nothing. A [`Worker`] decides what becomes of a batch; [`Settlement`] says it, and one script applies it.
//!
//! What must never happen here: a sleep while a batch is held and not beaten for, a second command behind an
//! acknowledgement, an attempt charged for somebody else's outage.

pub mod dead_letter;
pub mod depth;
mod doorbell;
pub mod enqueue;
pub mod entry;
pub mod janitor;
mod lane;
mod lanes;
mod lease;
pub mod ledger;
pub mod redrive;
mod settlement;

use std::{future::Future, str::Utf8Error, time::Duration};

pub use self::{
    dead_letter::DeadLetter,
    enqueue::{Enqueued, Enqueuer, Item, QueueError},
    lanes::{LaneSettings, run_lanes},
    lease::LeaseView,
    settlement::Settlement,
};

/// One hand-out of an entry to a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    raw: Vec<u8>,
    /// How many processes died holding this entry; 0 for nearly all.
    pub reclaims: u32,
}

impl Delivery {
    /// A delivery of `raw`, as a claim returns it.
    #[must_use]
    pub fn new(raw: Vec<u8>, reclaims: u32) -> Self {
        Self { raw, reclaims }
    }

    /// The entry as it is queued.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.raw
    }

    /// The entry as text.
    ///
    /// # Errors
    /// When another producer pushed bytes that are not UTF-8; such an entry belongs in the dead letters.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.raw)
    }

    /// The entry's id, by its position; a claim stamps one on entries that came without.
    #[must_use]
    pub fn id(&self) -> &str {
        self.raw.get(8..44).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default()
    }
}

/// What a lane holds: deliveries, oldest first, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The entries.
    pub deliveries: Vec<Delivery>,
}

/// Whether a lane may take a batch now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Take.
    Open,
    /// Take nothing; ask again after this long at the latest.
    Wait(Duration),
}

/// What a worker made of a batch.
#[derive(Debug)]
pub enum Worked {
    /// Every entry has its outcome.
    Settle(Settlement),
    /// Nothing was done, for a reason that is not the entries': the batch goes back unchanged and uncharged.
    GiveBack {
        /// How long this lane waits before it takes again.
        pause: Duration,
    },
}

/// Decides the outcome of batches; one worker serves all lanes of a process.
pub trait Worker: Send + Sync + 'static {
    /// Asked before each claim; cheap, as it is asked often.
    fn gate(&self) -> impl Future<Output = Gate> + Send {
        std::future::ready(Gate::Open)
    }

    /// Works on a batch. Effects outside Redis belong right behind [`LeaseView::still_ours`]. May take long, as
    /// long as it calls [`LeaseView::progress`] now and then.
    ///
    /// Cancel safe by contract: on an abrupt stop the future is dropped and the batch given back.
    fn work(&self, batch: &Batch, lease: &LeaseView) -> impl Future<Output = Worked> + Send;
}
