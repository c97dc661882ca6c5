//! Whether the Web UI can do its work: Redis and PostgreSQL.

use std::{error::Error, future::Future, pin::Pin, time::Duration};

use mutt_core::{
    db,
    http::ops::{Check, Health},
};
use redis::aio::ConnectionManager;
use sqlx::PgPool;
use tokio::time::timeout;

use crate::HEALTH_NAME;

/// A dependency that takes longer is not one to send work to.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the Web UI depends on.
pub(crate) struct Dependencies {
    pub(crate) redis: ConnectionManager,
    pub(crate) pool: PgPool,
}

impl Dependencies {
    async fn redis(&self) -> Result<(), String> {
        let mut conn = self.redis.clone();
        let ping = redis::cmd("PING");
        answered(timeout(PATIENCE, ping.query_async::<String>(&mut conn)).await, "Redis")
    }

    async fn database(&self) -> Result<(), String> {
        answered(timeout(PATIENCE, db::check(&self.pool)).await, "PostgreSQL")
    }
}

/// Health is open to everybody: the log has the cause, the answer only the fact.
fn answered<T, E: Error + 'static>(
    outcome: Result<Result<T, E>, tokio::time::error::Elapsed>,
    dependency: &'static str,
) -> Result<(), String> {
    match outcome {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            let error = &error as &dyn Error;
            tracing::debug!(error, dependency, "a health check failed");
            Err(format!("{dependency} cannot be used"))
        }
        Err(_) => Err(format!("{dependency} does not answer in time")),
    }
}

impl Health for Dependencies {
    fn service(&self) -> &'static str {
        HEALTH_NAME
    }

    fn check(&self) -> Pin<Box<dyn Future<Output = Vec<Check>> + Send + '_>> {
        Box::pin(async move {
            let (redis, database) = tokio::join!(self.redis(), self.database());
            vec![("redis", redis), ("database", database)]
        })
    }
}
