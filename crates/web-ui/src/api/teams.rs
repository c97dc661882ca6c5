//! Device teams: `/api/v{1,2}/teams`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::StatusCode;
use mutt_core::{
    db::{Change, Creation, teams},
    http::Problem,
};
use serde::Serialize;
use serde_json::json;

use super::{
    answer::Answer,
    hosts::{duplicate, hostname, unknown},
    input::{Body, Params, Who},
    rules::check,
};
use crate::{access::Role, metrics::Operation, state::App};

/// As wide as the column.
const TEAM_MAX_CHARS: usize = 100;
/// Members of an answer that a request may repeat.
const READ_ONLY: [&str; 6] = ["hostname", "created_at", "created_by", "updated_at", "updated_by", "message"];

#[derive(Debug, Serialize)]
struct TeamView {
    hostname: String,
    team_assignment: String,
    version: i32,
    created_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    updated_at: Option<DateTime<Utc>>,
    updated_by: Option<String>,
}

impl From<teams::DeviceTeam> for TeamView {
    fn from(team: teams::DeviceTeam) -> Self {
        Self {
            hostname: team.hostname,
            team_assignment: team.team_assignment,
            version: team.version,
            created_at: team.created_at,
            created_by: team.created_by,
            updated_at: team.updated_at,
            updated_by: team.updated_by,
        }
    }
}

/// `GET /teams`.
pub(crate) async fn list(State(app): State<Arc<App>>, params: Params) -> Answer<Response> {
    params.finish()?;
    let teams = app.timed(Operation::GetTeams, teams::list(&app.pool)).await?;
    let teams: Vec<TeamView> = teams.into_iter().map(TeamView::from).collect();
    Ok(Json(json!({ "teams": teams })).into_response())
}

/// `GET /teams/{hostname}`.
pub(crate) async fn get(State(app): State<Arc<App>>, Path(hostname): Path<String>) -> Answer<Response> {
    match app.timed(Operation::GetTeams, teams::get(&app.pool, &hostname)).await? {
        Some(team) => Ok(Json(TeamView::from(team)).into_response()),
        None => Err(unknown("team for the host", &hostname)),
    }
}

/// `POST /teams`.
pub(crate) async fn create(State(app): State<Arc<App>>, who: Who, mut body: Body) -> Answer<Response> {
    who.caller.must_be(Role::Operator)?;
    body.require(&["hostname", "team_assignment"])?;
    let hostname = hostname(&mut body);
    let team = team(&mut body);
    let reason = body.reason();
    check(&body.finish())?;
    let create = teams::create(&app.pool, &hostname, &team, who.author(reason.as_deref()));
    match app.timed(Operation::ChangeTeams, create).await? {
        Creation::Done(team) => {
            let answer =
                json!({ "hostname": team.hostname, "message": "team added", "team": TeamView::from(team) });
            Ok((StatusCode::CREATED, Json(answer)).into_response())
        }
        Creation::Duplicate => Err(duplicate("team for the host", &hostname)),
    }
}

/// `PUT /teams/{hostname}`. With `version`, only when that is still the row's.
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    Path(hostname): Path<String>,
    who: Who,
    mut body: Body,
) -> Answer<Response> {
    who.caller.must_be(Role::Operator)?;
    body.require(&["team_assignment"])?;
    let team = team(&mut body);
    let (expected, reason) = (body.expected_version(), body.reason());
    body.forget(&READ_ONLY);
    check(&body.finish())?;
    let update = teams::update(&app.pool, &hostname, expected, &team, who.author(reason.as_deref()));
    match app.timed(Operation::ChangeTeams, update).await? {
        Change::Done(team) => {
            let answer =
                json!({ "hostname": team.hostname, "message": "team updated", "team": TeamView::from(team) });
            Ok(Json(answer).into_response())
        }
        Change::NotFound => Err(unknown("team for the host", &hostname)),
        Change::Conflict(team) => {
            let detail = format!("the team was changed since: it has version {} now", team.version);
            let current = serde_json::to_value(TeamView::from(team)).unwrap_or_default();
            Err(Problem::conflict(detail).with("current", current).into())
        }
    }
}

/// `DELETE /teams/{hostname}`; the body may give a reason.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(hostname): Path<String>,
    who: Who,
    mut body: Body,
) -> Answer<Response> {
    who.caller.must_be(Role::Operator)?;
    let reason = body.reason();
    check(&body.finish())?;
    let delete = teams::delete(&app.pool, &hostname, who.author(reason.as_deref()));
    if app.timed(Operation::ChangeTeams, delete).await? {
        Ok(Json(json!({ "hostname": hostname, "message": "team removed" })).into_response())
    } else {
        Err(unknown("team for the host", &hostname))
    }
}

fn team(body: &mut Body) -> String {
    let team = body.text("team_assignment").unwrap_or_default();
    if team.is_empty() || team.chars().count() > TEAM_MAX_CHARS || team.chars().any(char::is_control) {
        body.fault(
            "team_assignment",
            format!("must be the name of a team, at most {TEAM_MAX_CHARS} characters"),
        );
    }
    team
}
