//! Whether the forwarder can do its work: Redis, and nothing else.
//!
//! Moogsoft is not asked: it being away is what the breaker, the queue and their metrics are for, and taking the
//! forwarder out of service or restarting it would not bring it back.

use std::{future::Future, pin::Pin, time::Duration};

use mutt_core::http::ops::{Check, Health};
use redis::aio::ConnectionManager;
use tokio::time::timeout;

use crate::SERVICE;

/// A dependency that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the forwarder depends on.
pub(crate) struct Dependencies(pub(crate) ConnectionManager);

impl Health for Dependencies {
    fn service(&self) -> &'static str {
        SERVICE
    }

    fn check(&self) -> Pin<Box<dyn Future<Output = Vec<Check>> + Send + '_>> {
        Box::pin(async move {
            let mut conn = self.0.clone();
            let ping = redis::cmd("PING");
            let redis = match timeout(PATIENCE, ping.query_async::<String>(&mut conn)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no answer in time".to_owned()),
            };
            vec![("redis", redis)]
        })
    }
}
