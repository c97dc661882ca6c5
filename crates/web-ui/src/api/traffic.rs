//! How many events come in: `GET /api/v{1,2}/metrics`, from the counters that the ingestors keep in Redis.
//!
//! Counters are asked for by name, minute by minute: a minute without one counts as 0, and the running minute is left out,
//! so that an idle system shows 0 and no average is pulled down by the minute that has just begun.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use mutt_core::redis::keys::window_counters;
use redis::aio::ConnectionManager;
use serde::Serialize;
use tokio::sync::Mutex;

use super::{
    answer::{Answer, Refusal},
    input::Params,
};
use crate::{metrics::Status, state::App};

const MINUTES: i64 = 60;
const HOURS: i64 = 24;

/// The last answer and when it was made.
#[derive(Default)]
pub(crate) struct TrafficCache(Mutex<Option<(Instant, Arc<Traffic>)>>);

/// Events over time; the original's body.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Traffic {
    pub(crate) summary: Summary,
    chart_24h: Chart,
}

/// Events per minute.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Of the last whole minute.
    pub(crate) current_rate_1m: f64,
    pub(crate) avg_rate_15m: f64,
    pub(crate) avg_rate_1h: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Chart {
    /// `HH:00` in UTC, oldest first; the last is the running hour.
    labels: Vec<String>,
    data: Vec<u64>,
}

/// `GET /metrics` of the API.
pub(crate) async fn metrics(State(app): State<Arc<App>>, params: Params) -> Answer<Response> {
    params.finish()?;
    let (traffic, is_cached) = read(&app).await?;
    let mut response = Json(&*traffic).into_response();
    if is_cached {
        response.extensions_mut().insert(Status::SuccessCached);
    }
    Ok(response)
}

/// The traffic of now, or of a moment ago. Whoever comes while it is read waits for that one reading.
pub(crate) async fn read(app: &App) -> Answer<(Arc<Traffic>, bool)> {
    let mut cached = app.traffic.0.lock().await;
    if let Some((at, traffic)) = &*cached
        && at.elapsed() < app.view.metrics_cache
    {
        return Ok((Arc::clone(traffic), true));
    }
    let began = Instant::now();
    let traffic = fetch(app.redis.clone(), &app.view.metrics_prefix, app.clock.now()).await;
    app.metrics.read_counters(began.elapsed().as_secs_f64());
    let traffic = Arc::new(traffic.map_err(|error| Refusal::redis(&error))?);
    *cached = Some((Instant::now(), Arc::clone(&traffic)));
    Ok((traffic, false))
}

async fn fetch(mut conn: ConnectionManager, prefix: &str, now: DateTime<Utc>) -> redis::RedisResult<Traffic> {
    let keys: Vec<String> = minutes(now)
        .map(|at| window_counters(prefix, at)[0].clone())
        .chain(hours(now).map(|at| window_counters(prefix, at)[1].clone()))
        .collect();
    let counts: Vec<Option<u64>> = redis::cmd("MGET").arg(keys).query_async(&mut conn).await?;
    Ok(Traffic::of(&counts, now))
}

/// The last whole minutes, newest first.
fn minutes(now: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    (1..=MINUTES).map(move |ago| now - TimeDelta::minutes(ago))
}

/// The last hours, oldest first; the running one too.
fn hours(now: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    (0..HOURS).rev().map(move |ago| now - TimeDelta::hours(ago))
}

impl Traffic {
    /// `counts` of [`minutes`] and [`hours`], in their order.
    fn of(counts: &[Option<u64>], now: DateTime<Utc>) -> Self {
        let count = |place: usize| counts.get(place).copied().flatten().unwrap_or(0);
        let sum = |minutes: usize| (0..minutes).map(count).sum::<u64>();
        #[expect(clippy::cast_precision_loss, reason = "rates of 2^53 events a minute are still exact")]
        let rate = |minutes: usize| sum(minutes) as f64 / minutes as f64;
        let first_hour = usize::try_from(MINUTES).unwrap_or_default();
        let hours: Vec<_> = hours(now).collect();
        Self {
            summary: Summary { current_rate_1m: rate(1), avg_rate_15m: rate(15), avg_rate_1h: rate(60) },
            chart_24h: Chart {
                labels: hours.iter().map(|at| at.format("%H:00").to_string()).collect(),
                data: (0..hours.len()).map(|hour| count(first_hour + hour)).collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_minute_counts_as_nothing_and_the_running_one_not_at_all() {
        let now: DateTime<Utc> = "2026-11-24T12:34:56Z".parse().unwrap();
        assert_eq!(minutes(now).next().unwrap().format("%H:%M").to_string(), "12:33");
        let mut counts = vec![None; 84];
        counts[0] = Some(30);
        counts[14] = Some(60);
        counts[59] = Some(30);
        counts[83] = Some(7);
        let traffic = Traffic::of(&counts, now);
        assert_eq!(traffic.summary, Summary { current_rate_1m: 30.0, avg_rate_15m: 6.0, avg_rate_1h: 2.0 });
        assert_eq!(traffic.chart_24h.labels.len(), 24);
        assert_eq!(traffic.chart_24h.labels.last().map(String::as_str), Some("12:00"));
        assert_eq!(traffic.chart_24h.labels[0], "13:00");
        assert_eq!(traffic.chart_24h.data[23], 7);
    }
}
