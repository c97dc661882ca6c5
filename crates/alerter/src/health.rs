//! Whether the alerter can do its work: Redis, PostgreSQL, and rules to decide by.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use mutt_core::{
    db,
    http::ops::{Check, Health},
};
use redis::aio::ConnectionManager;
use sqlx::PgPool;
use tokio::time::timeout;

use crate::{SERVICE, apply::chain};

/// A dependency that takes longer is not one to send work to.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the alerter depends on.
pub(crate) struct Dependencies {
    redis: ConnectionManager,
    pool: PgPool,
    has_rules: AtomicBool,
}

impl Dependencies {
    pub(crate) fn new(redis: ConnectionManager, pool: PgPool) -> Self {
        Self { redis, pool, has_rules: AtomicBool::new(false) }
    }

    /// Says that the rules are in force.
    pub(crate) fn is_ready(&self) {
        self.has_rules.store(true, Ordering::Relaxed);
    }

    async fn redis(&self) -> Result<(), String> {
        let mut conn = self.redis.clone();
        let ping = redis::cmd("PING");
        match timeout(PATIENCE, ping.query_async::<String>(&mut conn)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    async fn database(&self) -> Result<(), String> {
        match timeout(PATIENCE, db::check(&self.pool)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

impl Health for Dependencies {
    fn service(&self) -> &'static str {
        SERVICE
    }

    fn check(&self) -> Pin<Box<dyn Future<Output = Vec<Check>> + Send + '_>> {
        Box::pin(async move {
            let (redis, database) = tokio::join!(self.redis(), self.database());
            let has_rules = self.has_rules.load(Ordering::Relaxed);
            let rules = if has_rules { Ok(()) } else { Err("not read yet; no event is taken".to_owned()) };
            vec![("redis", redis), ("database", database), ("rules", rules)]
        })
    }
}
