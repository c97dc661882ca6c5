//! Whether more events may be taken: not while the alert queue is as long as it may be. Nothing is shed; events wait where
//! they are, and in the end their senders are told to wait.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mutt_core::queue::Gate;
use redis::{AsyncCommands as _, aio::ConnectionManager};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    limits::Limits,
    metrics::{Metrics, level},
};

/// Lanes that ask at about the same time share one answer; the queue outgrows its limit by what is decided meanwhile.
const FRESH: Duration = Duration::from_millis(10);

/// Watches the alert queue for the lanes.
#[derive(Debug)]
pub struct Backpressure {
    conn: ConnectionManager,
    queue: String,
    limits: Limits,
    metrics: Arc<Metrics>,
    seen: Mutex<Seen>,
}

/// The last look at the queue, and what people were told about it.
#[derive(Debug, Default)]
struct Seen {
    depth: u64,
    at: Option<Instant>,
    is_long: bool,
    is_full: bool,
}

impl Backpressure {
    /// Watches `queue`.
    #[must_use]
    pub fn new(conn: ConnectionManager, queue: String, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { conn, queue, limits, metrics, seen: Mutex::default() }
    }

    /// Asked before each claim.
    pub async fn gate(&self) -> Gate {
        let Some(depth) = self.depth().await else {
            // Redis does not answer: the claim will not either, and knows how to wait.
            return Gate::Open;
        };
        if depth < self.limits.full_depth() {
            return Gate::Open;
        }
        self.metrics.deferred();
        Gate::Wait(self.limits.defer())
    }

    async fn depth(&self) -> Option<u64> {
        {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.at.is_some_and(|at| at.elapsed() < FRESH) {
                return Some(seen.depth);
            }
        }
        let depth = self.conn.clone().llen(&self.queue).await.ok()?;
        self.note(depth);
        Some(depth)
    }

    /// Remembers the depth and tells people when it crosses a limit, not while it stays beyond.
    fn note(&self, depth: u64) {
        let (long, full) = (self.limits.warn_depth(), self.limits.full_depth());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(
            &mut *seen,
            Seen { depth, at: Some(Instant::now()), is_long: depth > long, is_full: depth >= full },
        );
        drop(seen);
        self.metrics.alert_queue_depth.set(level(depth));
        if depth >= full && !was.is_full {
            warn!(
                queue.name = self.queue,
                depth,
                limit = full,
                "the alert queue is full; events wait until the forwarder has caught up"
            );
        } else if depth > long && !was.is_long {
            warn!(queue.name = self.queue, depth, limit = long, "the alert queue grows");
        } else if depth <= long && was.is_long {
            info!(queue.name = self.queue, depth, "the alert queue is short again");
        }
    }
}
