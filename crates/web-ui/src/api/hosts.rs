//! Development hosts: `/api/v{1,2}/dev-hosts`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::StatusCode;
use mutt_core::{
    db::{Creation, hosts},
    domain::host::Hostname,
    http::Problem,
};
use serde::Serialize;
use serde_json::json;

use super::{
    answer::{Answer, Fault, Refusal},
    input::{Body, Params, Who},
    rules::check,
};
use crate::{access::Role, metrics::Operation, state::App};

/// As wide as the column.
const HOSTNAME_MAX_CHARS: usize = 255;

#[derive(Debug, Serialize)]
struct HostView {
    hostname: String,
    created_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
}

impl From<hosts::DevelopmentHost> for HostView {
    fn from(host: hosts::DevelopmentHost) -> Self {
        Self { hostname: host.hostname, created_at: host.created_at, created_by: host.created_by }
    }
}

/// `GET /dev-hosts`.
pub(crate) async fn list(State(app): State<Arc<App>>, params: Params) -> Answer<Response> {
    params.finish()?;
    let hosts = app.timed(Operation::GetHosts, hosts::list(&app.pool)).await?;
    let hosts: Vec<HostView> = hosts.into_iter().map(HostView::from).collect();
    Ok(Json(json!({ "hosts": hosts })).into_response())
}

/// `POST /dev-hosts`.
pub(crate) async fn create(State(app): State<Arc<App>>, who: Who, mut body: Body) -> Answer<Response> {
    who.caller.must_be(Role::Operator)?;
    body.require(&["hostname"])?;
    let hostname = hostname(&mut body);
    let reason = body.reason();
    check(&body.finish())?;
    let create = hosts::create(&app.pool, &hostname, who.author(reason.as_deref()));
    match app.timed(Operation::ChangeHosts, create).await? {
        Creation::Done(host) => {
            let answer = json!({ "hostname": host.hostname, "message": "development host added", "host": HostView::from(host) });
            Ok((StatusCode::CREATED, Json(answer)).into_response())
        }
        Creation::Duplicate => Err(duplicate("development host", &hostname)),
    }
}

/// `DELETE /dev-hosts/{hostname}`; the body may give a reason.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(hostname): Path<String>,
    who: Who,
    mut body: Body,
) -> Answer<Response> {
    who.caller.must_be(Role::Operator)?;
    let reason = body.reason();
    check(&body.finish())?;
    let delete = hosts::delete(&app.pool, &hostname, who.author(reason.as_deref()));
    if app.timed(Operation::ChangeHosts, delete).await? {
        Ok(Json(json!({ "hostname": hostname, "message": "development host removed" })).into_response())
    } else {
        Err(unknown("development host", &hostname))
    }
}

/// The member `hostname`; what is wrong with it is noted in the body.
pub(super) fn hostname(body: &mut Body) -> String {
    let Some(name) = body.text("hostname") else {
        body.fault("hostname", "must be the name or address of a host");
        return String::new();
    };
    if name.chars().count() > HOSTNAME_MAX_CHARS {
        body.fault("hostname", format!("must have at most {HOSTNAME_MAX_CHARS} characters"));
    }
    if name.chars().any(|letter| letter.is_control() || letter.is_whitespace() || letter == '/') {
        body.fault("hostname", "must not hold blanks, slashes or control characters");
    }
    if Hostname::new(&name).is_none() {
        body.fault("hostname", "must be the name or address of a host");
    }
    name
}

pub(super) fn duplicate(what: &str, hostname: &str) -> Refusal {
    let fault = Fault::new("hostname", "exists, perhaps in another case");
    Problem::conflict(format!("there is a {what} {hostname} already"))
        .with("errors", serde_json::to_value([fault]).unwrap_or_default())
        .into()
}

pub(super) fn unknown(what: &str, hostname: &str) -> Refusal {
    let hostname: String = hostname.chars().take(HOSTNAME_MAX_CHARS).collect();
    Problem::not_found(format!("there is no {what} {hostname}")).into()
}
