//! Asks Prometheus, in the background.

use std::{error::Error as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use mutt_core::{domain::clock::Clock, redis::live_settings::LiveSettings, runtime::Lifecycle};
use serde::Deserialize;

use super::{Standings, definitions::OBJECTIVES, judge_all};

/// Objectives over a day do not change faster.
const PERIOD: Duration = Duration::from_secs(30);
/// Beyond this Prometheus counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Measured {
    at: Option<DateTime<Utc>>,
    values: Vec<Result<f64, String>>,
}

/// What was measured last; a clone sees the same.
#[derive(Clone)]
pub(crate) struct Board {
    measured: Arc<ArcSwap<Measured>>,
    live: LiveSettings,
}

impl Board {
    /// Starts measuring, until the drain.
    ///
    /// # Errors
    /// No HTTP client can be built.
    pub(crate) fn follow(
        prometheus_url: &str,
        live: LiveSettings,
        clock: Arc<dyn Clock>,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let board = Self { measured: Arc::default(), live };
        if prometheus_url.is_empty() {
            let nowhere = OBJECTIVES.iter().map(|_| Err("PROMETHEUS_URL is not set".to_owned())).collect();
            board.measured.store(Arc::new(Measured { at: None, values: nowhere }));
            return Ok(board);
        }
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .context("building a client for Prometheus")?;
        let prometheus = Arc::new(Prometheus {
            client,
            query_url: format!("{}/api/v1/query", prometheus_url.trim_end_matches('/')),
        });
        let measuring = board.clone();
        lifecycle.spawn_periodic("objectives", PERIOD, move || {
            let (board, prometheus, clock) = (measuring.clone(), Arc::clone(&prometheus), Arc::clone(&clock));
            async move {
                let queries = OBJECTIVES.iter().map(|objective| prometheus.ask(objective.query(&board.live)));
                let values = join_all(queries).await;
                let at = values.iter().any(Result::is_ok).then(|| clock.now());
                board.measured.store(Arc::new(Measured { at, values }));
            }
        });
        Ok(board)
    }

    /// How the objectives stand.
    pub(crate) fn standings(&self) -> Standings {
        let measured = self.measured.load();
        judge_all(&self.live, measured.at, &measured.values)
    }
}

struct Prometheus {
    client: reqwest::Client,
    query_url: String,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    /// When, and how much, as text.
    value: (f64, String),
}

impl Prometheus {
    /// One number, or in words why there is none.
    async fn ask(&self, query: String) -> Result<f64, String> {
        let request = self.client.get(&self.query_url).query(&[("query", query)]);
        let response = request.send().await.map_err(|error| why(&error))?;
        if !response.status().is_success() {
            return Err(format!("Prometheus answers {}", response.status().as_u16()));
        }
        let answer: Answer = response.json().await.map_err(|error| why(&error))?;
        let number = answer.data.result.first().and_then(|series| series.value.1.parse::<f64>().ok());
        number.filter(|number| number.is_finite()).ok_or_else(|| "no data in the window".to_owned())
    }
}

/// Addresses and inner errors are for the log.
fn why(error: &reqwest::Error) -> String {
    tracing::debug!(
        error = error as &dyn std::error::Error,
        cause = error.source(),
        "Prometheus cannot be asked"
    );
    if error.is_timeout() {
        format!("Prometheus did not answer within {} s", PATIENCE.as_secs())
    } else if error.is_decode() {
        "the answer of Prometheus cannot be read".to_owned()
    } else {
        "Prometheus cannot be reached".to_owned()
    }
}
