//! What goes on beside sending: gauges, live settings, and a new try when the key changes.

use std::{sync::Arc, time::Duration};

use mutt_core::{
    redis::{
        keys::StageKeys,
        live_settings::{
            CIRCUIT_BREAKER_THRESHOLD, CIRCUIT_BREAKER_TIMEOUT, LiveSettings, MOOG_RATE_LIMIT,
            MOOG_RATE_PERIOD,
        },
        rate_limiter::RateLimit,
    },
    runtime::Lifecycle,
    secrets::Secrets,
    telemetry::report,
};
use redis::{AsyncCommands as _, RedisResult, aio::ConnectionManager};
use tracing::{debug, info, warn};

use crate::{
    metrics::Metrics,
    settings::{self, Settings},
    worker::Forwarder,
};

/// Between two looks at what the gauges show; more often than any scrape.
const SAMPLE_PERIOD: Duration = Duration::from_secs(5);

/// Keeps the gauges of the breaker and of what waits fresh.
pub(crate) fn sample(
    lifecycle: &Lifecycle,
    conn: ConnectionManager,
    keys: &StageKeys,
    forwarder: &Arc<Forwarder>,
    metrics: &Metrics,
) {
    let lists = (keys.dead_letters.clone(), keys.delayed.clone());
    let (forwarder, metrics) = (Arc::clone(forwarder), metrics.clone());
    lifecycle.spawn_periodic("gauges", SAMPLE_PERIOD, move || {
        let (mut conn, lists, forwarder, metrics) =
            (conn.clone(), lists.clone(), Arc::clone(&forwarder), metrics.clone());
        async move {
            if let Err(error) = sample_once(&mut conn, &lists, &forwarder, &metrics).await {
                debug!(error = report(&error), "gauges stay as they are: Redis does not answer");
            }
        }
    });
}

async fn sample_once(
    conn: &mut ConnectionManager,
    (dead_letters, delayed): &(String, String),
    forwarder: &Forwarder,
    metrics: &Metrics,
) -> RedisResult<()> {
    metrics.dlq_depth.set(conn.llen(dead_letters).await?);
    metrics.retries_waiting.set(conn.zcard(delayed).await?);
    if let Some(breaker) = forwarder.gate.breaker() {
        let (state, failures) = breaker.read().await?;
        metrics.breaker_is(state, failures);
    }
    Ok(())
}

/// Takes over the live settings of limit and breaker, now and whenever they change.
pub(crate) fn follow_live_settings(
    lifecycle: &Lifecycle,
    live: LiveSettings,
    settings: &Settings,
    forwarder: &Arc<Forwarder>,
) {
    let (own, timeout, forwarder) = (settings.sending.clone(), settings.moog.timeout, Arc::clone(forwarder));
    let (mut changed, draining) = (live.changed(), lifecycle.draining());
    let apply = move || {
        forwarder.gate.limiter().set_limit(RateLimit {
            permits: live.get_or(MOOG_RATE_LIMIT, own.limit.permits),
            window: live.get_or(MOOG_RATE_PERIOD, own.limit.window),
        });
        if let Some((breaker, own)) = forwarder.gate.breaker().zip(own.breaker) {
            let threshold = live.get_or(CIRCUIT_BREAKER_THRESHOLD, own.threshold.into());
            let open_max = live.get_or(CIRCUIT_BREAKER_TIMEOUT, own.open_max);
            breaker.set_settings(settings::breaker(
                threshold.try_into().unwrap_or(u32::MAX),
                open_max,
                timeout,
            ));
        }
    };
    apply();
    lifecycle.spawn("live limits", async move {
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                news = changed.changed() => if news.is_err() { return },
            }
            apply();
        }
    });
}

/// Tries again at once when a secret changed: a wrong key is what may keep everything waiting.
pub(crate) fn retry_on_new_key(lifecycle: &Lifecycle, secrets: &Secrets, forwarder: &Arc<Forwarder>) {
    let (mut changed, draining, forwarder) = (secrets.changed(), lifecycle.draining(), Arc::clone(forwarder));
    lifecycle.spawn("new keys", async move {
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                news = changed.changed() => if news.is_err() { return },
            }
            let Some(breaker) = forwarder.gate.breaker() else { continue };
            info!("secrets changed; if the circuit breaker is open, a probe goes now");
            if let Err(error) = breaker.hurry().await {
                warn!(error = report(&error), "the probe goes when its time has come: Redis does not answer");
            }
        }
    });
}
