//! The optional limit on requests, shared by all ingestors.

use std::time::Duration;

use mutt_core::redis::{
    live_settings::{INGEST_MAX_RATE, INGEST_RATE_WINDOW, LiveSettings},
    rate_limiter::{Permit, RateLimit, RateLimiter},
};
use redis::aio::ConnectionManager;
use tracing::debug;

/// Where the window is kept; the original's name.
const KEY: &str = "mutt:rate_limit:ingestor";

/// A limit that follows its live settings.
#[derive(Debug)]
pub(crate) struct Limiter {
    shared: RateLimiter<ConnectionManager>,
    own: RateLimit,
    live: LiveSettings,
}

impl Limiter {
    pub(crate) fn new(conn: ConnectionManager, own: RateLimit, live: LiveSettings) -> Self {
        Self { shared: RateLimiter::new(conn, KEY, own), own, live }
    }

    /// Lets one request in, or says how long it should wait.
    ///
    /// A Redis that is away lets everybody in: storing will say so, with the right answer.
    pub(crate) async fn admit(&self) -> Result<(), Duration> {
        let limit = RateLimit {
            permits: self.live.get_or(INGEST_MAX_RATE, self.own.permits),
            window: self.live.get_or(INGEST_RATE_WINDOW, self.own.window),
        };
        if self.shared.limit() != limit {
            self.shared.set_limit(limit);
        }
        match self.shared.acquire().await {
            Ok(Permit::Granted) => Ok(()),
            Ok(Permit::Full(wait) | Permit::Held(wait)) => Err(wait),
            Err(error) => {
                debug!(%error, "the rate limiter does not answer");
                Ok(())
            }
        }
    }
}
