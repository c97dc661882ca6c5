//! The event audit: `/api/v{1,2}/audit-logs`, and `/api/v2/events`, which is the same audit by cursor alone.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use mutt_core::{
    db::event_audit::{self, Cursor, Filter, StoredEvent},
    domain::{audit::Outcome, event::EventId},
    http::Problem,
};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    answer::{Answer, Fault, Refusal},
    input::{Bound, Params},
    paging::{COUNT_CAP, Pagination, Wanted, cut},
};
use crate::{metrics::Operation, state::App};

/// One request sends at most so many events as one looks at.
const REQUEST_MAX: i64 = 1000;

/// An audited event as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct EventView {
    id: i64,
    event_id: Uuid,
    received_at: DateTime<Utc>,
    event_timestamp: DateTime<Utc>,
    hostname: String,
    matched_rule_id: Option<i32>,
    rule_version: Option<i32>,
    handling_decision: String,
    forwarded_to_moog: bool,
    outcome: String,
    environment: Option<String>,
    team_assignment: Option<String>,
    source: Option<String>,
    correlation_id: String,
    raw_message: String,
}

impl From<StoredEvent> for EventView {
    fn from(event: StoredEvent) -> Self {
        Self {
            id: event.id,
            event_id: event.event_id,
            received_at: event.received_at,
            event_timestamp: event.event_timestamp,
            hostname: event.hostname,
            matched_rule_id: event.matched_rule_id,
            rule_version: event.rule_version,
            handling_decision: event.handling_decision,
            forwarded_to_moog: event.forwarded_to_moog,
            outcome: event.outcome,
            environment: event.environment,
            team_assignment: event.team_assignment,
            source: event.source,
            correlation_id: event.correlation_id,
            raw_message: event.raw_message,
        }
    }
}

/// `GET /audit-logs`: newest first, by page or by cursor. Dates are those of receipt.
pub(crate) async fn list(State(app): State<Arc<App>>, mut params: Params) -> Answer<Response> {
    let filter = filter(&mut params);
    let wanted = Wanted::read(&mut params, app.view.page_size);
    params.finish()?;
    let (rows, next) = page(&app, &filter, &wanted).await?;
    let counted = if wanted.cursor.is_none() {
        let count = event_audit::count_up_to(&app.pool, &filter, COUNT_CAP);
        Some(app.timed(Operation::GetEvents, count).await?)
    } else {
        None
    };
    let pagination = Pagination::new(&wanted, counted, next);
    Ok(Json(json!({ "logs": rows, "pagination": pagination })).into_response())
}

/// `GET /api/v2/events`: newest first, by cursor; or with `correlation_id` all events of one request.
pub(crate) async fn events(State(app): State<Arc<App>>, mut params: Params) -> Answer<Response> {
    if let Some(correlation_id) = params.text("correlation_id") {
        params.finish()?;
        let find = event_audit::by_correlation(&app.pool, &correlation_id, REQUEST_MAX);
        let rows = app.timed(Operation::GetEvents, find).await?;
        let rows: Vec<EventView> = rows.into_iter().map(EventView::from).collect();
        return Ok(Json(json!({ "events": rows, "next_cursor": null })).into_response());
    }
    let filter = filter(&mut params);
    // `?recent=20` says the same as `?limit=20`.
    let recent = params.number("recent");
    let mut wanted = Wanted::read(&mut params, app.view.page_size);
    if let Some(recent) = recent {
        wanted.limit = recent.clamp(1, crate::settings::PAGE_SIZE_MAX.into());
    }
    wanted.page = 1;
    params.finish()?;
    let (rows, next) = page(&app, &filter, &wanted).await?;
    Ok(Json(json!({ "events": rows, "next_cursor": next })).into_response())
}

/// `GET /api/v2/events/{id}`.
pub(crate) async fn event(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer<Json<EventView>> {
    let unknown = || Problem::not_found("there is no audited event of this id");
    let id = Uuid::try_parse(&id).map_err(|_| unknown())?;
    let found = app.timed(Operation::GetEvents, event_audit::get(&app.pool, EventId::from(id))).await?;
    Ok(Json(found.ok_or_else(unknown)?.into()))
}

async fn page(app: &App, filter: &Filter, wanted: &Wanted) -> Answer<(Vec<EventView>, Option<String>)> {
    let after = wanted.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|error| Refusal::unreadable(&[Fault::new("cursor", error.to_string())]))?;
    let read = event_audit::page(&app.pool, filter, after, wanted.offset()?, wanted.limit + 1);
    let mut rows = app.timed(Operation::GetEvents, read).await?;
    let has_more = cut(&mut rows, wanted.limit);
    let next = rows.last().filter(|_| has_more).map(|last| last.cursor().to_string());
    Ok((rows.into_iter().map(EventView::from).collect(), next))
}

fn filter(params: &mut Params) -> Filter {
    Filter {
        hostname: params.text("hostname"),
        rule_id: params.id("rule_id"),
        outcome: params.parsed("outcome", "handled or unhandled", Outcome::from_word),
        forwarded: params.parsed("forwarded", "true or false", |text| text.parse().ok()),
        from: params.time("start_date", Bound::From),
        until: params.time("end_date", Bound::Until),
    }
}
