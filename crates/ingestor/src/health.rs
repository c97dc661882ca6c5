//! Whether events can be taken, and how many wait.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use mutt_core::{
    http::ops::{Check, Health},
    runtime::Lifecycle,
};
use redis::aio::ConnectionManager;
use tracing::debug;

use crate::{SERVICE, metrics::Metrics};

/// A Redis that needs longer for a PING is away as far as senders are concerned.
const PING_LIMIT: Duration = Duration::from_secs(1);
/// How old the gauge of the queue's depth may be: the original's scrape interval is 15 s.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// Asks Redis.
pub(crate) struct Dependencies {
    redis: ConnectionManager,
}

impl Dependencies {
    pub(crate) fn new(redis: ConnectionManager) -> Self {
        Self { redis }
    }

    async fn redis(&self) -> Result<(), String> {
        let mut conn = self.redis.clone();
        let ping = redis::cmd("PING");
        let pong = tokio::time::timeout(PING_LIMIT, ping.query_async::<String>(&mut conn)).await;
        match pong {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                debug!(%error, "Redis does not answer a health check");
                Err("does not answer".to_owned())
            }
            Err(_) => Err(format!("no answer within {} s", PING_LIMIT.as_secs())),
        }
    }
}

impl Health for Dependencies {
    fn service(&self) -> &'static str {
        SERVICE
    }

    fn check(&self) -> Pin<Box<dyn Future<Output = Vec<Check>> + Send + '_>> {
        Box::pin(async { vec![("redis", self.redis().await)] })
    }
}

/// Keeps the gauge of the queue's depth fresh; while Redis is away it keeps its last value.
pub(crate) fn sample_depth(
    lifecycle: &Lifecycle,
    redis: &ConnectionManager,
    queue: &str,
    metrics: &Arc<Metrics>,
) {
    let (redis, queue, metrics) = (redis.clone(), queue.to_owned(), Arc::clone(metrics));
    lifecycle.spawn_periodic("queue depth", SAMPLE_INTERVAL, move || {
        let (mut redis, queue, metrics) = (redis.clone(), queue.clone(), Arc::clone(&metrics));
        async move {
            match redis::cmd("LLEN").arg(&queue).query_async::<i64>(&mut redis).await {
                Ok(depth) => metrics.queue_depth.set(depth),
                Err(error) => debug!(%error, "the depth of the queue cannot be read"),
            }
        }
    });
}
