//! The first page: is anything wrong, what waits where, is all of it accounted for, what came in last.

mod words;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse as _, Redirect, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use mutt_core::{
    db::event_audit::{self, Filter, StoredEvent},
    domain::event::Event,
};
use serde::Deserialize;

use self::words::{age, count, notices, outcomes, rate, stage_name};
use super::page;
use crate::{
    access::{Caller, identify},
    api::traffic,
    metrics::Operation,
    sampler::Sample,
    state::App,
};

/// As many as fit below the tables.
const EVENTS: i64 = 25;
/// Longer messages are cut; the row's title has them whole.
const MESSAGE_CHARS: usize = 160;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    caller: Caller,
    now: String,
    is_paused: bool,
    notices: Vec<Notice>,
    tiles: Vec<Tile>,
    stages: Vec<StageRow>,
    ledger: Vec<LedgerRow>,
    /// `None` while the database is away.
    events: Option<Vec<EventRow>>,
    sampled_at: Option<String>,
}

/// Something that needs attention.
#[derive(Debug, PartialEq, Eq)]
struct Notice {
    /// `critical` or `warning`: class, glyph and word.
    level: Level,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Critical,
    Warning,
}

struct Tile {
    label: &'static str,
    value: String,
    note: String,
    /// A class: `ok`, `warn`, `crit` or `unknown`.
    state: &'static str,
}

struct StageRow {
    name: String,
    queue: String,
    waiting: String,
    delayed: String,
    lanes: String,
    oldest: String,
}

struct LedgerRow {
    name: String,
    taken_in: String,
    outcomes: String,
    held: String,
    imbalance: String,
    is_balanced: bool,
}

struct EventRow {
    time: String,
    full_time: String,
    severity: String,
    hostname: String,
    message: String,
    whole_message: String,
    decision: String,
    rule: String,
    is_forwarded: bool,
    source: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Options {
    #[serde(default)]
    paused: bool,
}

/// `GET /`; who is not logged in goes to the login page first.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    let Some(caller) = identify(&app, &headers).await else {
        return Redirect::to("/login?next=/").into_response();
    };
    let now = app.clock.now();
    let filter = Filter::default();
    let newest = event_audit::page(&app.pool, &filter, None, 0, EVENTS);
    let (events, traffic) = tokio::join!(app.timed(Operation::GetEvents, newest), traffic::read(&app));
    let seen = app.samples.now();
    if let Err(error) = &events {
        tracing::warn!(error = error as &dyn std::error::Error, "the last events cannot be shown");
    }
    let notices = notices(&seen, events.is_ok(), now);
    let sample = seen.last.as_deref();
    let overview = Overview {
        caller,
        now: now.format("%Y-%m-%d %H:%M:%S").to_string(),
        is_paused: options.paused,
        tiles: tiles(
            sample,
            traffic.ok().map(|(traffic, _)| traffic.summary.current_rate_1m),
            seen.failing_since.is_some(),
        ),
        stages: sample.map_or_else(Vec::new, stages),
        ledger: sample.map_or_else(Vec::new, ledger),
        events: events.ok().map(|events| events.into_iter().map(|event| row(event, now)).collect()),
        sampled_at: sample.map(|sample| sample.at.format("%H:%M:%S").to_string()),
        notices,
    };
    page(StatusCode::OK, &overview)
}

fn tiles(sample: Option<&Sample>, rate_now: Option<f64>, is_stale: bool) -> Vec<Tile> {
    let unknown = |label| Tile { label, value: "?".into(), note: "not known".into(), state: "unknown" };
    let received = rate_now.map_or_else(
        || unknown("Events a minute"),
        |rate_now| Tile {
            label: "Events a minute",
            value: rate(rate_now),
            note: "received in the last whole minute".into(),
            state: "ok",
        },
    );
    let Some(sample) = sample else {
        return vec![
            received,
            unknown("Ingest queue"),
            unknown("Alert queue"),
            unknown("Dead letters"),
            unknown("Ledger"),
        ];
    };
    let fresh = |state| if is_stale { "unknown" } else { state };
    let queue = |label, name| {
        sample.depths.stage(name).map_or_else(
            || unknown(label),
            |stage| Tile {
                label,
                value: count(stage.waiting),
                note: stage
                    .oldest_age_secs
                    .map_or_else(|| "nothing waits".into(), |secs| format!("oldest {}", age(secs))),
                state: fresh("ok"),
            },
        )
    };
    let dead: u64 = ["dlq_alerter", "dlq_moog"]
        .iter()
        .filter_map(|name| sample.depths.stage(name))
        .map(|stage| stage.waiting + stage.delayed)
        .sum::<u64>()
        + sample.depths.dead;
    let imbalance = sample.ledger.imbalance();
    vec![
        received,
        queue("Ingest queue", "alerter"),
        queue("Alert queue", "moog"),
        Tile {
            label: "Dead letters",
            value: count(dead),
            note: if dead == 0 { "none".into() } else { "need a look".into() },
            state: fresh(if dead == 0 { "ok" } else { "warn" }),
        },
        Tile {
            label: "Ledger",
            value: if imbalance == 0 { "balanced".into() } else { format!("{imbalance:+}") },
            note: if imbalance == 0 {
                "every entry is accounted for".into()
            } else {
                "entries unaccounted for".into()
            },
            state: fresh(if imbalance == 0 { "ok" } else { "crit" }),
        },
    ]
}

fn stages(sample: &Sample) -> Vec<StageRow> {
    let row = |stage: &mutt_core::queue::depth::StageDepth| StageRow {
        name: stage_name(&stage.stage).to_owned(),
        queue: stage.queue.clone(),
        waiting: count(stage.waiting),
        delayed: count(stage.delayed),
        lanes: count(stage.lanes),
        oldest: stage.oldest_age_secs.map_or_else(|| "–".to_owned(), age),
    };
    sample.depths.stages.iter().map(row).collect()
}

fn ledger(sample: &Sample) -> Vec<LedgerRow> {
    let row = |stage: &mutt_core::queue::ledger::StageBalance| LedgerRow {
        name: stage_name(&stage.stage).to_owned(),
        taken_in: outcomes(&stage.taken_in),
        outcomes: outcomes(&stage.outcomes),
        held: count(u64::try_from(stage.waiting + stage.in_flight + stage.delayed).unwrap_or(0)),
        imbalance: if stage.imbalance == 0 { "0".to_owned() } else { format!("{:+}", stage.imbalance) },
        is_balanced: stage.imbalance == 0,
    };
    sample.ledger.stages.iter().map(row).collect()
}

fn row(event: StoredEvent, now: DateTime<Utc>) -> EventRow {
    let decoded = Event::decode(&event.raw_message).ok();
    let whole_message = decoded
        .as_ref()
        .map_or_else(|| event.raw_message.clone(), |decoded| decoded.message.clone().into_owned());
    let severity = decoded.and_then(|decoded| decoded.severity);
    let is_today = event.received_at.date_naive() == now.date_naive();
    let mut message: String = whole_message.chars().take(MESSAGE_CHARS).collect();
    if message.len() < whole_message.len() {
        message.push('…');
    }
    EventRow {
        time: event.received_at.format(if is_today { "%H:%M:%S" } else { "%m-%d %H:%M:%S" }).to_string(),
        full_time: event.received_at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        severity: severity.map_or_else(|| "–".to_owned(), |severity| severity.word().to_owned()),
        hostname: event.hostname,
        message,
        whole_message,
        decision: event.handling_decision,
        rule: event.matched_rule_id.map_or_else(|| "–".to_owned(), |rule| format!("#{rule}")),
        is_forwarded: event.forwarded_to_moog,
        source: event.source.unwrap_or_else(|| "–".to_owned()),
    }
}
