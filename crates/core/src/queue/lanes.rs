//! All lanes of a stage in one process, with their heartbeat, doorbell and janitor.

use std::{sync::Arc, time::Duration};

use ::redis::aio::ConnectionManager;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    Worker,
    doorbell::{Connect, Doorbell},
    janitor::{self, JanitorSettings},
    lane::{Lane, Shared},
    lease::Heartbeat,
};
use crate::redis::{
    keys::StageKeys,
    scripts::{self, ClaimLimits},
};

/// How a stage takes its work.
#[derive(Debug, Clone)]
pub struct LaneSettings {
    /// `POD_NAME`, without `:` in it; the first part of every lane id.
    pub pod_name: String,
    /// How many batches are in hand at once.
    pub lanes: usize,
    /// Most entries in a batch.
    pub batch: usize,
    /// Most bytes in a batch, give or take its last entry.
    pub batch_bytes: usize,
    /// How long a lane may be silent before others may take its batch.
    pub lease: Duration,
    /// Nothing is taken while the downstream queue is this long; 0 for no cap.
    pub downstream_cap: usize,
    /// How long the id of a pushed alert is remembered.
    pub dedup_window: Duration,
    /// What happens to the batches of dead lanes.
    pub janitor: JanitorSettings,
}

impl LaneSettings {
    /// The protocol's defaults: lease 30 s, one hour of alert ids, no downstream cap.
    #[must_use]
    pub fn new(pod_name: &str, lanes: usize, batch: usize) -> Self {
        Self {
            // The original's janitor cut ids at the last colon.
            pod_name: pod_name.replace(':', "-"),
            lanes: lanes.max(1),
            batch: batch.max(1),
            batch_bytes: 1 << 20,
            lease: Duration::from_secs(30),
            downstream_cap: 0,
            dedup_window: Duration::from_hours(1),
            janitor: JanitorSettings::default(),
        }
    }

    pub(super) fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn dedup_window_ms(&self) -> u64 {
        u64::try_from(self.dedup_window.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn claim_limits(&self) -> ClaimLimits {
        ClaimLimits {
            max: self.batch,
            max_bytes: self.batch_bytes,
            lease_ms: self.lease_ms(),
            promote: self.batch,
            downstream_cap: self.downstream_cap,
        }
    }
}

/// The two ways to be told to stop.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    /// Take nothing new.
    pub(super) drain: CancellationToken,
    /// Drop what is in hand, and give it back.
    pub(super) abort: CancellationToken,
}

impl Stop {
    pub(super) fn draining(&self) -> bool {
        self.drain.is_cancelled() || self.abort.is_cancelled()
    }

    /// Sleeps, or wakes at once when asked to stop.
    pub(super) async fn pause(&self, how_long: Duration) {
        tokio::select! {
            () = tokio::time::sleep(how_long) => {}
            () = self.drain.cancelled() => {}
            () = self.abort.cancelled() => {}
        }
    }
}

/// Runs the lanes of one stage until `drain`; returns when each has finished or given back what it held.
///
/// `abort` makes them drop work in progress and give it back at once. `connect_blocking` opens a connection that waits at
/// least three seconds for an answer; the lanes share `conn` for everything else. A lane whose worker panics is replaced;
/// its batch returns with its lease.
pub async fn run_lanes<W: Worker>(
    keys: StageKeys,
    worker: Arc<W>,
    conn: ConnectionManager,
    connect_blocking: Connect,
    settings: LaneSettings,
    drain: CancellationToken,
    abort: CancellationToken,
) {
    let keys = Arc::new(keys);
    let beats = Arc::new(Heartbeat::new(Arc::clone(&keys), settings.lease, conn.clone()));
    let shared = Arc::new(Shared {
        keys: Arc::clone(&keys),
        settings: settings.clone(),
        worker,
        conn: conn.clone(),
        bell: Doorbell::default(),
        beats: Arc::clone(&beats),
        stop: Stop { drain: drain.clone(), abort },
    });
    // A Redis that is away now is retried by each lane.
    let _loaded = scripts::load_lane_scripts(&mut conn.clone()).await;
    janitor::reap_predecessors(&mut conn.clone(), &keys, &settings).await;

    let mut lanes = JoinSet::new();
    let mut numbers = std::collections::HashMap::new();
    for number in 0..settings.lanes {
        numbers.insert(lanes.spawn(Lane::new(Arc::clone(&shared), number).run()).id(), number);
    }
    info!(stage = %keys.stage, lanes = settings.lanes, batch = settings.batch, pod_name = %settings.pod_name, "taking work");
    let supervise = async {
        while let Some(ended) = lanes.join_next_with_id().await {
            let Err(panicked) = ended else { continue };
            let number = numbers.remove(&panicked.id()).unwrap_or_default();
            error!(stage = %keys.stage, error = %panicked, "a lane died; another takes its place, its batch returns when its lease is over");
            if !drain.is_cancelled() {
                numbers.insert(lanes.spawn(Lane::new(Arc::clone(&shared), number).run()).id(), number);
            }
        }
    };
    // The helpers never end by themselves; the stage ends when its lanes have.
    tokio::select! {
        () = supervise => {}
        () = async { tokio::join!(
            beats.run(),
            async { shared.bell.run(connect_blocking, &keys.queue, &drain).await; std::future::pending::<()>().await },
            janitor::run(conn, Arc::clone(&keys), settings.clone()),
        ); } => {}
    }
    info!(stage = %keys.stage, "stopped taking work");
}
