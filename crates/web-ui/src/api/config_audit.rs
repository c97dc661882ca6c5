//! Who changed what: `/api/v1/audit`, `/api/v{1,2}/config-audit`, `/api/v{1,2}/config/history`; one list, three names.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use mutt_core::{
    db::{
        config_audit::{self, Filter, Recorded},
        live_settings::AUDITED_AS,
    },
    domain::audit::Operation as Done,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    answer::{Answer, Fault, Refusal},
    input::{Bound, Params},
    paging::{COUNT_CAP, Pagination, Wanted, cut},
};
use crate::{metrics::Operation, state::App};

#[derive(Debug, Serialize)]
struct ChangeView {
    id: i64,
    changed_at: DateTime<Utc>,
    changed_by: String,
    operation: String,
    table_name: String,
    record_id: Option<i32>,
    record_key: String,
    old_values: Option<Value>,
    new_values: Option<Value>,
    reason: Option<String>,
    correlation_id: Option<String>,
}

impl From<Recorded> for ChangeView {
    fn from(row: Recorded) -> Self {
        Self {
            id: row.id,
            changed_at: row.changed_at,
            changed_by: row.changed_by,
            operation: row.operation,
            table_name: row.table_name,
            record_id: row.record_id,
            record_key: row.record_key,
            old_values: row.old_values,
            new_values: row.new_values,
            reason: row.reason,
            correlation_id: row.correlation_id,
        }
    }
}

/// `GET /api/v1/audit`: `{logs, pagination}`.
pub(crate) async fn logs(State(app): State<Arc<App>>, mut params: Params) -> Answer<Response> {
    let filter = filter(&mut params);
    answer(&app, "logs", filter, params).await
}

/// `GET /config-audit`: `{changes, pagination}`.
pub(crate) async fn changes(State(app): State<Arc<App>>, mut params: Params) -> Answer<Response> {
    let filter = filter(&mut params);
    answer(&app, "changes", filter, params).await
}

/// `GET /config/history`: `{history, pagination}` of live settings.
pub(crate) async fn history(State(app): State<Arc<App>>, mut params: Params) -> Answer<Response> {
    let filter = Filter {
        table_name: Some(AUDITED_AS.to_owned()),
        record_key: params.text("key"),
        ..Filter::default()
    };
    answer(&app, "history", filter, params).await
}

async fn answer(app: &App, name: &str, filter: Filter, mut params: Params) -> Answer<Response> {
    let wanted = Wanted::read(&mut params, app.view.page_size);
    params.finish()?;
    let before = wanted.cursor.as_deref().map(str::parse::<i64>).transpose();
    let before = before
        .map_err(|_| Refusal::unreadable(&[Fault::new("cursor", "not a cursor of an earlier answer")]))?;
    let read = config_audit::page(&app.pool, &filter, before, wanted.offset()?, wanted.limit + 1);
    let mut rows = app.timed(Operation::GetChanges, read).await?;
    let has_more = cut(&mut rows, wanted.limit);
    let next = rows.last().filter(|_| has_more).map(|last| last.id.to_string());
    let counted = if before.is_none() {
        let count = config_audit::count_up_to(&app.pool, &filter, COUNT_CAP);
        Some(app.timed(Operation::GetChanges, count).await?)
    } else {
        None
    };
    let rows: Vec<ChangeView> = rows.into_iter().map(ChangeView::from).collect();
    let mut body = Map::new();
    body.insert(name.to_owned(), serde_json::to_value(rows).unwrap_or_default());
    let pagination = Pagination::new(&wanted, counted, next);
    body.insert("pagination".to_owned(), serde_json::to_value(pagination).unwrap_or_default());
    Ok(Json(Value::Object(body)).into_response())
}

fn filter(params: &mut Params) -> Filter {
    Filter {
        changed_by: params.text("changed_by"),
        operation: params.parsed("operation", "CREATE, UPDATE or DELETE", Done::from_word),
        table_name: params.text("table_name"),
        record_id: params.id("record_id"),
        record_key: params.text("record_key"),
        from: params.time("start_date", Bound::From),
        until: params.time("end_date", Bound::Until),
    }
}
