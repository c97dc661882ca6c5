//! What all handlers share.

use std::{sync::Arc, time::Instant};

use mutt_core::{db::DbError, domain::clock::Clock};
use redis::aio::ConnectionManager;
use sqlx::PgPool;

use crate::{
    access::{LiveKeys, Sessions, Throttle},
    api::traffic::TrafficCache,
    metrics::{Metrics, Operation},
    sampler::Samples,
    settings::ViewSettings,
    slo::Board,
};

/// One per process, behind an [`Arc`].
pub(crate) struct App {
    pub(crate) view: ViewSettings,
    /// Whether this process itself speaks TLS, so that cookies need not cross a network in the clear.
    pub(crate) is_tls: bool,
    pub(crate) pool: PgPool,
    pub(crate) redis: ConnectionManager,
    pub(crate) keys: LiveKeys,
    pub(crate) sessions: Sessions,
    pub(crate) throttle: Throttle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) samples: Samples,
    pub(crate) board: Board,
    pub(crate) traffic: TrafficCache,
    pub(crate) clock: Arc<dyn Clock>,
}

impl App {
    /// Does something with the database and notes how long it took.
    pub(crate) async fn timed<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        let began = Instant::now();
        let outcome = work.await;
        self.metrics.asked_database(operation, began.elapsed().as_secs_f64() * 1000.0);
        outcome
    }
}
