//! Rules: `/api/v{1,2}/rules`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::StatusCode;
use mutt_core::{
    db::{Change, rules},
    domain::{
        event::SyslogSeverity,
        rule::{MatchType, Rule},
    },
    http::Problem,
    rules::{RuleDraft, ValidRule},
};
use serde::Serialize;
use serde_json::json;

use super::{
    answer::{Answer, Fault, Refusal},
    input::{Body, Params, Who},
};
use crate::{access::Role, metrics::Operation, state::App};

/// Members of an answer that a request may repeat, as who reads, edits and writes back does.
const READ_ONLY: [&str; 7] =
    ["id", "created_at", "created_by", "updated_at", "updated_by", "archived_at", "message"];
/// How often a partial change is tried again when somebody else's comes between reading and writing.
const TRIES: u32 = 5;

/// A rule as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct RuleView {
    id: i32,
    name: Option<String>,
    description: Option<String>,
    match_type: &'static str,
    match_string: Option<String>,
    trap_oid: Option<String>,
    syslog_severity: Option<u8>,
    priority: i32,
    prod_handling: String,
    dev_handling: String,
    team_assignment: String,
    moog_severity: Option<u8>,
    is_active: bool,
    version: i32,
    created_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    updated_at: Option<DateTime<Utc>>,
    updated_by: Option<String>,
    archived_at: Option<DateTime<Utc>>,
}

impl From<Rule> for RuleView {
    fn from(rule: Rule) -> Self {
        Self {
            id: rule.id,
            name: rule.name,
            description: rule.description,
            match_type: rule.match_type.as_str(),
            match_string: rule.match_string,
            trap_oid: rule.trap_oid,
            syslog_severity: rule.syslog_severity.map(SyslogSeverity::get),
            priority: rule.priority,
            prod_handling: rule.prod_handling.as_str().to_owned(),
            dev_handling: rule.dev_handling.as_str().to_owned(),
            team_assignment: rule.team_assignment,
            moog_severity: rule.moog_severity,
            is_active: rule.is_active,
            version: rule.version,
            created_at: rule.created_at,
            created_by: rule.created_by,
            updated_at: rule.updated_at,
            updated_by: rule.updated_by,
            archived_at: rule.archived_at,
        }
    }
}

/// `GET /rules`: all rules in order of (`priority`, `id`); with `archived=true` also the retired ones.
pub(crate) async fn list(State(app): State<Arc<App>>, mut params: Params) -> Answer<Response> {
    let archived =
        params.parsed("archived", "true or false", |text| text.parse::<bool>().ok()).unwrap_or(false);
    params.finish()?;
    let which = if archived { rules::Which::All } else { rules::Which::Current };
    let rules = app.timed(Operation::GetRules, rules::list(&app.pool, which)).await?;
    let rules: Vec<RuleView> = rules.into_iter().map(RuleView::from).collect();
    Ok(Json(json!({ "rules": rules })).into_response())
}

/// `GET /rules/{id}`.
pub(crate) async fn get(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer<Json<RuleView>> {
    Ok(Json(find(&app, &id).await?.into()))
}

/// `POST /rules`: 201 with the new id.
pub(crate) async fn create(State(app): State<Arc<App>>, who: Who, mut body: Body) -> Answer<Response> {
    who.caller.must_be(Role::Operator)?;
    body.require(&["prod_handling", "dev_handling", "team_assignment"])?;
    if !body.has("match_string") && !body.has("trap_oid") {
        return Err(Refusal::unreadable(&[Fault::new("match_string", "is missing, and so is trap_oid")]));
    }
    let mut draft = RuleDraft::default();
    if !body.has("match_type") && body.has("trap_oid") && !body.has("match_string") {
        MatchType::OidPrefix.as_str().clone_into(&mut draft.match_type);
    }
    body.forget(&["version"]);
    let reason = body.reason();
    let rule = read(draft, body)?;
    let author = who.author(reason.as_deref());
    let rule = app.timed(Operation::ChangeRules, rules::create(&app.pool, &rule, author)).await?;
    let answer = json!({ "id": rule.id, "message": "rule created", "rule": RuleView::from(rule) });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `PUT /rules/{id}`: changes the members that are there. With `version`, only when that is still the rule's.
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    who: Who,
    mut body: Body,
) -> Answer<Response> {
    who.caller.must_be(Role::Operator)?;
    let expected = body.expected_version();
    let reason = body.reason();
    let author = who.author(reason.as_deref());
    for _ in 0..TRIES {
        let stored = find(&app, &id).await?;
        let rule = read(RuleDraft::from(&stored), body.clone())?;
        let version = expected.unwrap_or(stored.version);
        let update = rules::update(&app.pool, stored.id, Some(version), &rule, author);
        match app.timed(Operation::ChangeRules, update).await? {
            Change::Done(rule) => {
                let answer =
                    json!({ "id": rule.id, "message": "rule updated", "rule": RuleView::from(rule) });
                return Ok(Json(answer).into_response());
            }
            Change::NotFound => return Err(unknown(&id)),
            Change::Conflict(rule) if expected.is_some() => return Err(outdated(rule)),
            Change::Conflict(_) => {}
        }
    }
    Err(Problem::conflict("others keep changing this rule; read it again and give its `version`").into())
}

/// `DELETE /rules/{id}`: retires the rule. The body may give a reason and a `version`.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    who: Who,
    mut body: Body,
) -> Answer<Response> {
    who.caller.must_be(Role::Operator)?;
    let (expected, reason) = (body.expected_version(), body.reason());
    check(&body.finish())?;
    let number = number(&id)?;
    let delete = rules::delete(&app.pool, number, expected, who.author(reason.as_deref()));
    match app.timed(Operation::ChangeRules, delete).await? {
        Change::Done(rule) => Ok(Json(json!({ "id": rule.id, "message": "rule deleted" })).into_response()),
        Change::NotFound => Err(unknown(&id)),
        Change::Conflict(rule) => Err(outdated(rule)),
    }
}

/// The draft with the body's changes, checked; every problem at once.
fn read(mut draft: RuleDraft, mut body: Body) -> Answer<ValidRule> {
    body.forget(&READ_ONLY);
    body.put("name", "a text or null", &mut draft.name);
    body.put("description", "a text or null", &mut draft.description);
    body.put("match_type", "contains, regex or oid_prefix", &mut draft.match_type);
    body.put("match_string", "a text or null", &mut draft.match_string);
    body.put("trap_oid", "a text or null", &mut draft.trap_oid);
    body.put_number("syslog_severity", "a whole number from 0 to 7, or null", &mut draft.syslog_severity);
    body.put_number("priority", "a whole number", &mut draft.priority);
    body.put("prod_handling", "a text", &mut draft.prod_handling);
    body.put("dev_handling", "a text", &mut draft.dev_handling);
    body.put("team_assignment", "a text", &mut draft.team_assignment);
    body.put_number("moog_severity", "a whole number from 0 to 5, or null", &mut draft.moog_severity);
    body.put("is_active", "true or false", &mut draft.is_active);
    let mut faults = body.finish();
    match draft.validate() {
        Ok(rule) if faults.is_empty() => Ok(rule),
        Ok(_) => Err(Refusal::refused(&faults)),
        Err(problems) => {
            // A member that could not be read still has its old value: one complaint about it is enough.
            let further: Vec<Fault> = problems
                .into_iter()
                .map(Fault::from)
                .filter(|problem| faults.iter().all(|fault| fault.field != problem.field))
                .collect();
            faults.extend(further);
            Err(Refusal::refused(&faults))
        }
    }
}

pub(super) fn check(faults: &[Fault]) -> Answer<()> {
    if faults.is_empty() { Ok(()) } else { Err(Refusal::refused(faults)) }
}

async fn find(app: &App, id: &str) -> Answer<Rule> {
    let found = app.timed(Operation::GetRules, rules::get(&app.pool, number(id)?)).await?;
    found.filter(|rule| rule.archived_at.is_none()).ok_or_else(|| unknown(id))
}

fn number(id: &str) -> Answer<i32> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Refusal {
    let id: String = id.chars().take(40).collect();
    Problem::not_found(format!("there is no rule {id}")).into()
}

fn outdated(rule: Rule) -> Refusal {
    let detail = format!("the rule was changed since: it has version {} now", rule.version);
    let current = serde_json::to_value(RuleView::from(rule)).unwrap_or_default();
    Problem::conflict(detail).with("current", current).into()
}
