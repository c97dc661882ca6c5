//! The lease of a lane: one task beats for all lanes of a process, and only for those that move.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ::redis::aio::ConnectionManager;
use tokio::time::Instant;
use tracing::warn;

use crate::redis::{keys::StageKeys, scripts};

/// A lane that has not moved for this long is not vouched for: it hangs, and others shall have its batch.
const STUCK_AFTER: Duration = Duration::from_mins(5);

/// What lane, worker and heartbeat share about one lane.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) wid: String,
    fenced: AtomicBool,
    started: Instant,
    /// Milliseconds since `started`.
    last_beat: AtomicU64,
    last_progress: AtomicU64,
}

impl LaneState {
    pub(super) fn new(wid: String) -> Self {
        Self {
            wid,
            fenced: AtomicBool::new(false),
            started: Instant::now(),
            last_beat: AtomicU64::new(0),
            last_progress: AtomicU64::new(0),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn progress(&self) {
        self.last_progress.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    pub(super) fn beaten(&self) {
        self.last_beat.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    fn since(&self, mark: &AtomicU64) -> Duration {
        Duration::from_millis(self.elapsed_ms().saturating_sub(mark.load(Ordering::Relaxed)))
    }
}

/// A worker's view of its lane's lease.
#[derive(Debug, Clone)]
pub struct LeaseView {
    pub(super) state: Arc<LaneState>,
    pub(super) beats: Arc<Heartbeat>,
}

impl LeaseView {
    /// Whether the batch is still this lane's; asks Redis only when the last beat is nearly a lease ago. To be called
    /// right before an effect that cannot be taken back.
    ///
    /// `true` is no proof, as the process may be frozen right after it; it only saves duplicates. Safety comes from the
    /// scripts.
    pub async fn still_ours(&self) -> bool {
        let margin = self.beats.lease.saturating_sub(self.beats.lease / 6);
        if self.state.since(&self.state.last_beat) > margin {
            self.beats.beat_once(std::slice::from_ref(&self.state)).await;
        }
        !self.state.fenced.load(Ordering::Relaxed) && self.state.since(&self.state.last_beat) <= margin
    }

    /// Says that the lane is alive and working, for work that takes minutes.
    pub fn progress(&self) {
        self.state.progress();
    }
}

/// Beats for the lanes of one process.
#[derive(Debug)]
pub(super) struct Heartbeat {
    keys: Arc<StageKeys>,
    lease: Duration,
    conn: ConnectionManager,
    lanes: Mutex<Vec<Arc<LaneState>>>,
}

impl Heartbeat {
    pub(super) fn new(keys: Arc<StageKeys>, lease: Duration, conn: ConnectionManager) -> Self {
        Self { keys, lease, conn, lanes: Mutex::new(Vec::new()) }
    }

    /// Puts `state` in the place of the lane's earlier life, if it had one.
    pub(super) fn follow(&self, state: &Arc<LaneState>, earlier: Option<&Arc<LaneState>>) {
        let mut lanes = self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lanes.retain(|lane| earlier.is_none_or(|earlier| !Arc::ptr_eq(lane, earlier)));
        lanes.push(Arc::clone(state));
    }

    /// Stops beating for a lane that has deregistered.
    pub(super) fn forget(&self, state: &Arc<LaneState>) {
        let mut lanes = self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lanes.retain(|lane| !Arc::ptr_eq(lane, state));
    }

    /// Beats every third of a lease until dropped.
    pub(super) async fn run(&self) {
        let mut ticks = tokio::time::interval(self.lease / 3);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let lanes: Vec<_> = {
                let lanes = self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                lanes.iter().filter(|lane| lane.since(&lane.last_progress) < STUCK_AFTER).cloned().collect()
            };
            if !lanes.is_empty() {
                self.beat_once(&lanes).await;
            }
        }
    }

    async fn beat_once(&self, lanes: &[Arc<LaneState>]) {
        let wids: Vec<String> = lanes.iter().map(|lane| lane.wid.clone()).collect();
        let lease_ms = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        match scripts::beat(&mut self.conn.clone(), &self.keys, &wids, lease_ms).await {
            Ok(gone) => {
                for lane in lanes {
                    if gone.contains(&lane.wid) {
                        lane.fenced.store(true, Ordering::Relaxed);
                    } else {
                        lane.beaten();
                    }
                }
            }
            Err(error) => {
                warn!(error = %error, stage = %self.keys.stage, "heartbeat not sent; the next one follows");
            }
        }
    }
}
