//! Live settings: `/api/v{1,2}/config`.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use mutt_core::{
    db::{
        DbError,
        live_settings::{ChangeError, change},
    },
    http::Problem,
    redis::live_settings::{Change, DEFINITIONS, Definition, LiveSettingsError, find, read_all},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Fault, Refusal},
    input::{Body, Params, Who},
    rules::check,
};
use crate::{access::Role, metrics::Operation, state::App};

/// One setting with all there is to know about it.
#[derive(Debug, Serialize)]
struct SettingView {
    key: &'static str,
    /// What is set; null while each service's own setting counts.
    value: Option<String>,
    /// False when somebody stored what does not fit; it is passed over.
    fits: bool,
    default: &'static str,
    allowed: String,
    group: &'static str,
    about: &'static str,
}

impl SettingView {
    fn new(definition: &'static Definition, value: Option<String>) -> Self {
        Self {
            key: definition.key,
            fits: value.as_deref().is_none_or(|text| definition.parse(text).is_some()),
            value,
            default: definition.default,
            allowed: definition.kind.allowed(),
            group: definition.group.as_str(),
            about: definition.about,
        }
    }
}

/// `GET /config`: what holds for each setting, as the original; and each setting with its range and meaning.
///
/// Read from Redis at every call, so that who has just changed a setting sees it, whichever instance answers.
pub(crate) async fn list(State(app): State<Arc<App>>, params: Params) -> Answer<Response> {
    params.finish()?;
    let settings = read(&app).await?;
    let config: BTreeMap<&str, &str> = settings
        .iter()
        .map(|setting| {
            (setting.key, setting.value.as_deref().filter(|_| setting.fits).unwrap_or(setting.default))
        })
        .collect();
    Ok(Json(json!({ "config": config, "settings": settings })).into_response())
}

/// `GET /config/{key}`.
pub(crate) async fn get(State(app): State<Arc<App>>, Path(key): Path<String>) -> Answer<Response> {
    let settings = read(&app).await?;
    match settings.into_iter().find(|setting| setting.key == key) {
        Some(setting) => Ok(Json(setting).into_response()),
        None => Err(unknown(&key)),
    }
}

/// `PUT /config/{key}`: `{value, reason?}`.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    who: Who,
    mut body: Body,
) -> Answer<Response> {
    who.caller.must_be(Role::Admin)?;
    if find(&key).is_none() {
        return Err(unknown(&key));
    }
    body.require(&["value"])?;
    let value = match body.value("value") {
        Some(Value::String(text)) => text,
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        _ => {
            body.fault("value", "must be a text, a number, true or false");
            String::new()
        }
    };
    let reason = body.reason();
    check(&body.finish())?;
    store(&app, &key, Some(&value), &who, reason).await
}

/// `DELETE /config/{key}`: gives the setting back to each service's own. The body may give a reason.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    who: Who,
    mut body: Body,
) -> Answer<Response> {
    who.caller.must_be(Role::Admin)?;
    if find(&key).is_none() {
        return Err(unknown(&key));
    }
    let reason = body.reason();
    check(&body.finish())?;
    store(&app, &key, None, &who, reason).await
}

async fn store(
    app: &App,
    key: &str,
    value: Option<&str>,
    who: &Who,
    reason: Option<String>,
) -> Answer<Response> {
    let author = who.author(reason.as_deref());
    let began = std::time::Instant::now();
    let changed = change(&app.pool, &mut app.redis.clone(), key, value, author).await;
    app.metrics.asked_database(Operation::ChangeConfig, began.elapsed().as_secs_f64() * 1000.0);
    let Change { key, before, after } = changed.map_err(refusal)?;
    Ok(Json(json!({ "key": key, "old_value": before, "new_value": after })).into_response())
}

async fn read(app: &App) -> Answer<Vec<SettingView>> {
    let values = read_all(&mut app.redis.clone()).await.map_err(|error| Refusal::redis(&error))?;
    Ok(DEFINITIONS
        .iter()
        .zip(values)
        .map(|(definition, value)| SettingView::new(definition, value))
        .collect())
}

fn unknown(key: &str) -> Refusal {
    let error = mutt_core::redis::live_settings::check(key, "").err();
    Problem::not_found(
        error.map_or_else(|| format!("there is no setting `{key}`"), |error| error.to_string()),
    )
    .into()
}

fn refusal(error: ChangeError) -> Refusal {
    match error {
        ChangeError::Setting(LiveSettingsError::UnknownKey { key, .. }) => unknown(&key),
        ChangeError::Setting(refused @ LiveSettingsError::BadValue { .. }) => {
            Refusal::refused(&[Fault::new("value", refused.to_string())])
        }
        ChangeError::Setting(LiveSettingsError::Redis { source, .. }) => Refusal::redis(&source),
        ChangeError::NotAudited { source, .. } => DbError::into(source),
        left @ ChangeError::LeftUnaudited { .. } => {
            tracing::error!(
                error = &left as &(dyn Error + 'static),
                "a live setting was changed without an audit row"
            );
            Problem::internal().into()
        }
    }
}
