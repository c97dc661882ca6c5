//! What runs beside the lanes: fresh rules, audit partitions ahead of time, gauges.

use std::{sync::Arc, time::Duration};

use mutt_core::{
    db::partitions, domain::clock::Clock, queue::depth, redis::keys::Pipeline, runtime::Lifecycle,
    telemetry::report,
};
use redis::{AsyncCommands as _, aio::ConnectionManager};
use sqlx::PgPool;
use tracing::{debug, info, warn};

use crate::{
    limits::Limits,
    metrics::{Metrics, level},
    rule_set::Rules,
};

/// Months that have their partition before they begin: a service that nobody looks at for a quarter still works.
const MONTHS_AHEAD: u32 = 3;
/// How often that is looked after; a failure is harmless for months.
const PARTITION_PERIOD: Duration = Duration::from_hours(1);
/// How often gauges are read; Prometheus usually asks every 15 s.
const SAMPLE_PERIOD: Duration = Duration::from_secs(5);

/// Follows changes of rules, hosts and teams.
pub(crate) fn keep_rules_fresh(lifecycle: &Lifecycle, rules: Arc<Rules>, limits: Limits) {
    let (reload, drain) = (lifecycle.on_reload(), lifecycle.draining());
    lifecycle.spawn_critical("rules", async move {
        rules.keep_fresh(|| limits.reload_interval(), reload, &drain).await;
        Ok(())
    });
}

/// Makes the audit partitions that are missing. Without them rows go to the default partition, so a failure can wait.
pub(crate) async fn make_partitions(pool: &PgPool, clock: &dyn Clock) {
    match partitions::ensure(pool, clock.now(), MONTHS_AHEAD).await {
        Ok(ensured) if ensured.created.is_empty() => {}
        Ok(ensured) => info!(months = ?ensured.created, "made audit partitions"),
        Err(error) => warn!(error = report(&error), "cannot make audit partitions; trying again in an hour"),
    }
}

/// Keeps making audit partitions ahead of time.
pub(crate) fn keep_partitions(
    lifecycle: &Lifecycle,
    pool: PgPool,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) {
    lifecycle.spawn_periodic("partitions", PARTITION_PERIOD, move || {
        let (pool, clock, metrics) = (pool.clone(), Arc::clone(&clock), Arc::clone(&metrics));
        async move {
            make_partitions(&pool, &*clock).await;
            match partitions::months_ahead(&pool, clock.now()).await {
                Ok(ahead) => metrics.partitions_ahead.set(ahead),
                Err(error) => debug!(error = report(&error), "cannot count audit partitions"),
            }
        }
    });
}

/// Reads what is counted elsewhere into gauges.
pub(crate) fn sample(
    lifecycle: &Lifecycle,
    conn: ConnectionManager,
    pipeline: Pipeline,
    rules: Arc<Rules>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) {
    let sampler = Arc::new(Sampler { conn, pipeline, rules, clock, metrics });
    lifecycle.spawn_periodic("gauges", SAMPLE_PERIOD, move || {
        let sampler = Arc::clone(&sampler);
        async move { sampler.sample().await }
    });
}

struct Sampler {
    conn: ConnectionManager,
    pipeline: Pipeline,
    rules: Arc<Rules>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Sampler {
    async fn sample(&self) {
        self.metrics.pattern_step_limit.inc_by(self.rules.snapshot().rules.take_step_limit_hits());
        if let Err(error) = self.depths().await {
            debug!(error = report(&error), "gauges stay as they are: Redis does not answer");
        }
    }

    async fn depths(&self) -> redis::RedisResult<()> {
        let mut conn = self.conn.clone();
        let depths = depth::sample(&mut conn, &self.pipeline, self.clock.now()).await?;
        if let Some(stage) = depths.stage(&self.pipeline.alerter.stage) {
            self.metrics.retries_waiting.set(level(stage.delayed));
            self.metrics.oldest_event_age.set(stage.oldest_age_secs.unwrap_or_default());
        }
        if let Some(stage) = depths.stage(&self.pipeline.moog.stage) {
            self.metrics.alert_queue_depth.set(level(stage.waiting));
        }
        let dead: u64 = conn.llen(&self.pipeline.alerter.dead_letters).await?;
        self.metrics.dlq_depth.set(level(dead));
        Ok(())
    }
}
