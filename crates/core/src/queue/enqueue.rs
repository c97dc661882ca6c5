//! The producer's end: batches of accepted events onto the ingest queue.
//!
//! One stream has one batch in flight, ever. A batch whose answer was lost is sent again under the same number and
//! gets the same answer, so nothing is stored twice; once that answer is given up, the stream's name is given up
//! with it, because a late copy could still be applied.

use std::time::Duration;

use ::redis::{FromRedisValue, RedisError, RedisResult, Value, aio::ConnectionManager};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rand::Rng as _;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use crate::{
    domain::event::EventId,
    redis::{keys, keys::StageKeys, scripts},
};

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_MEMORY: Duration = Duration::from_hours(24);

/// One event to store.
#[derive(Debug, Clone)]
pub struct Item {
    /// The event's id; `payload` begins with `{"_id":"<id>"`.
    pub id: EventId,
    /// The queue entry.
    pub payload: Bytes,
    /// The sender's promise that two items with this key are the same event.
    pub idempotency_key: Option<String>,
}

/// Redis's verdict on a batch: all of it or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// Stored. `repeats` names the items that were stored before, by position, with the id they got then.
    Stored {
        /// Entries on the queue now.
        depth: u64,
        /// Positions and first ids of repeated items.
        repeats: Vec<(usize, EventId)>,
    },
    /// Refused: the queue is at its cap. Nothing was stored.
    Full {
        /// Entries on the queue now.
        depth: u64,
    },
}

/// Why a batch has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Redis refused every write for want of memory; nothing was stored.
    #[error("Redis is out of memory and stores nothing more")]
    OutOfMemory(#[source] RedisError),
    /// No answer in time: the batch may or may not have been stored.
    #[error("no answer from Redis within {limit:?}")]
    Unanswered {
        /// How long it was asked.
        limit: Duration,
        /// The last error.
        #[source]
        source: RedisError,
    },
}

/// One ingest stream.
#[derive(Debug)]
pub struct Enqueuer {
    conn: ConnectionManager,
    keys: StageKeys,
    metrics_prefix: String,
    stream: String,
    seq: u64,
}

impl Enqueuer {
    /// A stream of its own onto the queue of `keys`; `metrics_prefix` names the counters of accepted events.
    #[must_use]
    pub fn new(conn: ConnectionManager, keys: StageKeys, metrics_prefix: &str) -> Self {
        Self { conn, keys, metrics_prefix: metrics_prefix.to_owned(), stream: new_stream(), seq: 0 }
    }

    /// Stores a batch, asking for up to `patience`; takes `&mut self` because one batch may be in flight.
    ///
    /// `cap` is the longest the queue may become, `now` decides which minute the batch is counted in. Dropping the future
    /// is safe: the next batch goes out under a new stream name.
    ///
    /// # Errors
    /// [`QueueError`]; in both cases the sender must be told to repeat.
    pub async fn enqueue(
        &mut self,
        items: &[Item],
        cap: u64,
        now: DateTime<Utc>,
        patience: Duration,
    ) -> Result<Enqueued, QueueError> {
        if items.is_empty() {
            return Ok(Enqueued::Stored { depth: 0, repeats: Vec::new() });
        }
        // Until there is an answer, this name is spoken for: a batch that is abandoned here may still arrive.
        let stream = std::mem::replace(&mut self.stream, new_stream());
        let seq = std::mem::replace(&mut self.seq, 0) + 1;
        let call = self.call(&stream, seq, items, cap, now);
        let started = Instant::now();
        let mut wait = Duration::from_millis(20);
        loop {
            let answer: RedisResult<Value> = call.invoke_async(&mut self.conn).await;
            let error = match answer.and_then(read_answer) {
                Ok(verdict) => {
                    (self.stream, self.seq) = (stream, seq);
                    return Ok(verdict);
                }
                Err(error) if scripts::is_out_of_memory(&error) => {
                    (self.stream, self.seq) = (stream, seq);
                    return Err(QueueError::OutOfMemory(error));
                }
                Err(error) => error,
            };
            if started.elapsed() + wait > patience {
                return Err(QueueError::Unanswered { limit: patience, source: error });
            }
            warn!(error = %error, events = items.len(), "no answer from Redis to an enqueue; asking again");
            let pause = wait.mul_f64(rand::rng().random_range(0.5..1.0));
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    fn call(
        &self,
        stream: &str,
        seq: u64,
        items: &[Item],
        cap: u64,
        now: DateTime<Utc>,
    ) -> ::redis::ScriptInvocation<'static> {
        let mut call = scripts::ENQUEUE.prepare_invoke();
        call.key(&self.keys.queue).key(keys::ingest_stream(stream)).key(keys::LEDGER);
        for counter in keys::window_counters(&self.metrics_prefix, now) {
            call.key(counter);
        }
        call.arg(seq).arg(cap).arg(IDEMPOTENCY_MEMORY.as_secs()).arg(&self.keys.stage);
        // Positions in KEYS count from 1; six come before the idempotency keys.
        let mut next_key = 7_u32;
        let mut known = std::collections::HashMap::new();
        for item in items {
            call.arg(&item.payload[..]);
            match &item.idempotency_key {
                None => call.arg(0),
                Some(key) => {
                    let position = *known.entry(key.as_str()).or_insert_with(|| {
                        call.key(keys::idempotency(key));
                        next_key += 1;
                        next_key - 1
                    });
                    call.arg(position)
                }
            };
        }
        call
    }
}

fn new_stream() -> String {
    Uuid::new_v4().simple().to_string()
}

fn read_answer(value: Value) -> RedisResult<Enqueued> {
    let mut parts = Vec::<Value>::from_redis_value(value)?.into_iter();
    let mut next = || parts.next().unwrap_or(Value::Nil);
    let word = String::from_redis_value(next())?;
    let depth = Option::<u64>::from_redis_value(next())?.unwrap_or_default();
    match word.as_str() {
        "OK" => {
            let flat = Vec::<Value>::from_redis_value(next()).unwrap_or_default();
            let mut repeats = Vec::with_capacity(flat.len() / 2);
            let mut flat = flat.into_iter();
            while let (Some(position), Some(id)) = (flat.next(), flat.next()) {
                let id = String::from_redis_value(id)?;
                let Ok(id) = Uuid::try_parse(&id) else { continue };
                repeats.push((usize::from_redis_value(position)?, EventId::from(id)));
            }
            Ok(Enqueued::Stored { depth, repeats })
        }
        "FULL" => Ok(Enqueued::Full { depth }),
        // Only a late copy of an abandoned batch gets this, and nobody waits for its answer.
        _ => Err(RedisError::from((::redis::ErrorKind::UnexpectedReturnType, "enqueue out of step", word))),
    }
}
