//! The only effects of a batch: one audit statement, then one settlement. In this order: a crash between them redelivers
//! the batch, and the rows that are there already say again what they said the first time.
//!
//! What must never happen here: an alert that the audit does not know of, an attempt charged for an outage, an event
//! given up because the database was away.

use std::{ops::Range, sync::Arc, time::Duration};

use mutt_core::{
    db::{
        Class, DbError,
        event_audit::{self, Stored, StoredDecision},
    },
    domain::{audit::EventAudit, event::EventId},
    queue::LeaseView,
    telemetry::report,
};
use rand::Rng as _;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::metrics::Metrics;

/// The first and the longest wait for a database that is away; a lane that waits longer would only start later.
const OUTAGE_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Two batches that got in each other's way try again within this.
const COLLISION_WAIT: Duration = Duration::from_millis(50);

/// SQLSTATE `check_violation`: of a constraint, or of a partition's bounds.
const CHECK_VIOLATION: &str = "23514";

/// Writes audit rows until the database has answered for each of them.
#[derive(Debug)]
pub struct Auditor {
    pool: PgPool,
    metrics: Arc<Metrics>,
    drain: CancellationToken,
}

/// What the audit made of a batch.
#[derive(Debug, Default)]
pub struct Audited {
    stored: Vec<Stored>,
    /// Rows that can never be stored, by their place in the batch, and why.
    pub faults: Vec<(usize, String)>,
}

impl Audited {
    /// What an earlier row says about this event; `None` when its row is new.
    #[must_use]
    pub fn earlier(&self, id: EventId) -> Option<&StoredDecision> {
        self.stored.iter().find_map(|stored| stored.earlier(id))
    }

    /// Why this row can never be stored.
    #[must_use]
    pub fn fault(&self, row: usize) -> Option<&str> {
        self.faults.iter().find(|(index, _)| *index == row).map(|(_, why)| why.as_str())
    }
}

/// The rows could not be written before this process was asked to stop, or the batch is another worker's by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

impl Auditor {
    /// An auditor that stops waiting for a database that is away when `drain` is cancelled.
    #[must_use]
    pub fn new(pool: PgPool, metrics: Arc<Metrics>, drain: CancellationToken) -> Self {
        Self { pool, metrics, drain }
    }

    /// Writes the rows of a batch; holds on through outages, and finds the rows that cannot be stored by halving.
    ///
    /// # Errors
    /// [`Interrupted`]: some rows may be there, which harms nothing.
    pub async fn write(&self, rows: &[EventAudit<'_>], lease: &LeaseView) -> Result<Audited, Interrupted> {
        let mut audited = Audited::default();
        let mut todo: Vec<Range<usize>> = Vec::from([Range { start: 0, end: rows.len() }]);
        while let Some(range) = todo.pop() {
            let Some(part) = rows.get(range.clone()).filter(|part| !part.is_empty()) else { continue };
            match self.write_until_answered(part, lease).await? {
                Ok(stored) => audited.stored.push(stored),
                Err(fault) if range.len() == 1 => audited.faults.push((range.start, chain(&fault))),
                Err(_) => {
                    let middle = range.start + range.len() / 2;
                    todo.extend([middle..range.end, range.start..middle]);
                }
            }
        }
        Ok(audited)
    }

    /// One statement until the database says yes, or that the rows are to blame.
    async fn write_until_answered(
        &self,
        rows: &[EventAudit<'_>],
        lease: &LeaseView,
    ) -> Result<Result<Stored, DbError>, Interrupted> {
        let mut away: Option<Instant> = None;
        let mut longest = OUTAGE_WAITS.0;
        loop {
            if !lease.still_ours().await {
                return Err(Interrupted);
            }
            let started = Instant::now();
            let error = match event_audit::insert_batch(&self.pool, rows).await {
                Ok(stored) => {
                    self.metrics.db_write_latency.observe(started.elapsed().as_secs_f64() * 1000.0);
                    if let Some(since) = away {
                        info!(after = ?since.elapsed(), rows = rows.len(), "the audit takes rows again");
                    }
                    return Ok(Ok(stored));
                }
                Err(error) => error,
            };
            let wait = match class(&error) {
                Class::DataFault => return Ok(Err(error)),
                Class::Retry => rand::rng().random_range(Duration::ZERO..COLLISION_WAIT),
                Class::Outage => {
                    if away.is_none() {
                        away = Some(started);
                        warn!(
                            error = report(&error),
                            rows = rows.len(),
                            "the audit cannot be written; holding the batch and trying on, nothing is charged"
                        );
                    }
                    let wait = rand::rng().random_range(longest / 2..longest);
                    longest = (longest * 2).min(OUTAGE_WAITS.1);
                    wait
                }
            };
            // Waiting for the database is not being stuck.
            lease.progress();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.drain.cancelled() => return Err(Interrupted),
            }
        }
    }
}

/// What to do about an error.
///
/// A row that met the default partition just while its month got a partition of its own is refused once (23514, but of no
/// named constraint), and taken when it is sent again.
fn class(error: &DbError) -> Class {
    if let DbError::Query { source, .. } = error
        && let Some(refusal) = source.as_database_error()
        && refusal.code().as_deref() == Some(CHECK_VIOLATION)
        && refusal.constraint().is_none()
    {
        return Class::Retry;
    }
    error.class()
}

/// An error with its causes in one line, for a dead letter.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
