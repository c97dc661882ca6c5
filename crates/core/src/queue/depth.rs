//! How much waits where, and since when; sampled on a timer for gauges and pages, never per event.

use ::redis::{RedisResult, aio::ConnectionLike};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::redis::keys::{DLQ_DEAD, Pipeline};

/// What one stage holds, seen at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageDepth {
    /// The stage's name.
    pub stage: String,
    /// The queue's key.
    pub queue: String,
    /// Entries on the queue.
    pub waiting: u64,
    /// Entries that wait for their next try.
    pub delayed: u64,
    /// Lanes that hold a lease.
    pub lanes: u64,
    /// How long the oldest waiting entry has waited, in seconds; `None` when nothing waits or it does not say.
    pub oldest_age_secs: Option<f64>,
}

/// All stages, and the list that only people empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Depths {
    /// In the order in which entries pass them.
    pub stages: Vec<StageDepth>,
    /// Entries on `mutt:dlq:dead`.
    pub dead: u64,
}

impl Depths {
    /// The stage of this name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&StageDepth> {
        self.stages.iter().find(|stage| stage.stage == name)
    }
}

#[derive(Deserialize)]
struct Stamp {
    #[serde(rename = "_received_at")]
    received_at: Option<DateTime<Utc>>,
    event_timestamp: Option<DateTime<Utc>>,
}

/// Reads every length and the oldest entries, in one round trip; `now` is compared with the entries' own times.
///
/// # Errors
/// The Redis error.
pub async fn sample<C: ConnectionLike + Send + Sync>(
    conn: &mut C,
    pipeline: &Pipeline,
    now: DateTime<Utc>,
) -> RedisResult<Depths> {
    let stages = pipeline.stages();
    let mut pipe = ::redis::pipe();
    for stage in stages {
        pipe.llen(&stage.queue).zcard(&stage.delayed).zcard(&stage.lease).lindex(&stage.queue, -1);
    }
    pipe.llen(DLQ_DEAD);
    let answers: Vec<::redis::Value> = pipe.query_async(conn).await?;
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or(::redis::Value::Nil);
    let mut depths = Vec::with_capacity(stages.len());
    for stage in stages {
        let waiting = ::redis::from_redis_value(next())?;
        let delayed = ::redis::from_redis_value(next())?;
        let lanes = ::redis::from_redis_value(next())?;
        let oldest: Option<Vec<u8>> = ::redis::from_redis_value(next())?;
        let since = oldest
            .and_then(|entry| serde_json::from_slice::<Stamp>(&entry).ok())
            .and_then(|stamp| stamp.received_at.or(stamp.event_timestamp));
        #[expect(clippy::cast_precision_loss, reason = "an age of 285 years is still exact")]
        let oldest_age_secs = since.map(|since| (now - since).num_milliseconds().max(0) as f64 / 1000.0);
        depths.push(StageDepth {
            stage: stage.stage.clone(),
            queue: stage.queue.clone(),
            waiting,
            delayed,
            lanes,
            oldest_age_secs,
        });
    }
    Ok(Depths { stages: depths, dead: ::redis::from_redis_value(next())? })
}
