//! The stand-in's pages: the two events interfaces, and the ones that say what came and steer what goes wrong.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Auth, Inner,
    line::Fate,
    record::Receipt,
    script::{Fault, Manner, Script},
    wire::{self, Dialect},
};

/// Larger bodies are refused unread.
const BODY_MAX_BYTES: usize = 8 << 20;
/// What a wrong path on premises answers, with status 200.
const LOGIN_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Moogsoft AIOps</title></head>\n<body><form action=\"/Login.php\" method=\"post\"><input name=\"username\"><input name=\"password\" type=\"password\"></form></body></html>\n";
/// How long each byte of a dripping body takes.
const DRIP: Duration = Duration::from_millis(100);

pub(super) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/stats", get(stats))
        .route("/alerts", get(alerts))
        .route("/script", get(script).post(set_script))
        .fallback(events)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(inner)
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "healthy", "service": "moogsoft stand-in" }))
}

async fn stats(State(inner): State<Arc<Inner>>) -> Json<Value> {
    Json(json!(inner.record().stats))
}

async fn script(State(inner): State<Arc<Inner>>) -> Json<Script> {
    Json(inner.script().clone())
}

async fn set_script(State(inner): State<Arc<Inner>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Script>(&body) {
        Ok(script) => {
            inner.script().clone_from(&script);
            Json(script).into_response()
        }
        Err(error) => {
            let message = format!("not a script: {error}");
            (StatusCode::BAD_REQUEST, Json(json!({ "status": "error", "message": message }))).into_response()
        }
    }
}

/// Parameters of `GET /alerts`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Wanted {
    limit: usize,
    external_id: Option<String>,
    /// Refused ones as well.
    all: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { limit: 100, external_id: None, all: false }
    }
}

/// Events, newest first, each with what came around it.
async fn alerts(State(inner): State<Arc<Inner>>, Query(wanted): Query<Wanted>) -> Json<Value> {
    let record = inner.record();
    let started_at = record.stats.started_at;
    let mut found = Vec::new();
    for receipt in record.receipts().rev().filter(|receipt| wanted.all || receipt.accepted) {
        for event in receipt.events() {
            let id = external_id(&event).unwrap_or_default();
            if found.len() < wanted.limit && wanted.external_id.as_ref().is_none_or(|wanted| wanted == id) {
                let headers: serde_json::Map<String, Value> = receipt
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), shown(name, value)))
                    .collect();
                found.push(json!({
                    "number": receipt.number, "received_at": started_at + receipt.at, "dialect": receipt.dialect,
                    "status": receipt.status, "accepted": receipt.accepted, "external_id": id,
                    "headers": headers, "event": event,
                }));
            }
        }
        if found.len() >= wanted.limit {
            break;
        }
    }
    Json(json!({ "count": found.len(), "alerts": found }))
}

fn external_id(event: &Value) -> Option<&str> {
    event.get("external_id").or_else(|| event.get("tags")?.get("external_id"))?.as_str()
}

/// A header for people to read: keys stay secret.
fn shown(name: &HeaderName, value: &HeaderValue) -> Value {
    if name == header::AUTHORIZATION || name.as_str() == "apikey" {
        return json!("(hidden)");
    }
    json!(String::from_utf8_lossy(value.as_bytes()))
}

/// Everything that is no page of the stand-in itself.
async fn events(
    State(inner): State<Arc<Inner>>,
    ConnectInfo(fate): ConnectInfo<Fate>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(dialect) = Dialect::of_path(uri.path()) else { return Html(LOGIN_PAGE).into_response() };
    if method != Method::POST {
        return answer(dialect, StatusCode::METHOD_NOT_ALLOWED, Err("method not supported"), None);
    }
    let at = inner.started.elapsed();
    let number = inner.record().arrived(at);
    let fault = inner.script().next();
    if let Some(delay) = fault.as_ref().map(|fault| fault.delay_ms).filter(|ms| *ms > 0) {
        // Received before the delay: what the sender gives up waiting for is taken in all the same.
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let receipt = Receipt { number, at, dialect, status: 0, accepted: false, headers, body };
    let response = decide(&inner, receipt, fault.as_ref());
    match fault.map_or(Manner::Plain, |fault| fault.manner) {
        Manner::Plain | Manner::LoginPage => return response,
        Manner::Drip => return drip(response).await,
        Manner::Flood => return flood(response),
        Manner::Reset => fate.reset(),
        Manner::Garbage => fate.garbage(),
        Manner::Silent => {
            inner.record().stats.answers_withheld += 1;
            return std::future::pending().await;
        }
    }
    inner.record().stats.answers_withheld += 1;
    response
}

/// Takes the events in or refuses them, notes it, and makes the answer.
fn decide(inner: &Inner, mut receipt: Receipt, fault: Option<&Fault>) -> Response {
    let dialect = receipt.dialect;
    let scripted = fault.map_or(StatusCode::OK, |fault| {
        StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    });
    let login = fault.is_some_and(|fault| fault.manner == Manner::LoginPage);
    let mut record = inner.record();
    let checked = if login || !scripted.is_success() {
        Err((scripted, format!("scripted {}", scripted.as_u16())))
    } else if let Err(message) = inner.auth().check(&receipt.headers) {
        record.stats.unauthorized += 1;
        Err((StatusCode::UNAUTHORIZED, message.to_owned()))
    } else if !is_json(&receipt.headers) {
        Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "content type is not supported".to_owned()))
    } else {
        wire::read(dialect, &receipt.body).map(|events| {
            for event in &events {
                record.accept(event.id());
            }
            events.len()
        })
    };
    let status = checked.as_ref().map_or_else(|(status, _)| *status, |_| scripted);
    receipt.status = status.as_u16();
    receipt.accepted = checked.is_ok();
    record.keep(receipt);
    drop(record);
    if login {
        return Html(LOGIN_PAGE).into_response();
    }
    let outcome = checked.as_ref().map(|events| *events).map_err(|(_, message)| message.as_str());
    answer(dialect, status, outcome, fault)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn answer(
    dialect: Dialect,
    status: StatusCode,
    outcome: Result<usize, &str>,
    fault: Option<&Fault>,
) -> Response {
    let body = match outcome {
        Ok(events) => wire::success(dialect, status, events),
        Err(message) => wire::refusal(dialect, status, message),
    };
    let scripted = fault.and_then(|fault| fault.body.clone());
    let mut response = match scripted {
        Some(text) => (status, text).into_response(),
        None => (status, Json(body)).into_response(),
    };
    let extra = fault.map(|fault| (&fault.retry_after, &fault.location));
    if let Some((retry_after, location)) = extra {
        for (name, value) in [(header::RETRY_AFTER, retry_after), (header::LOCATION, location)] {
            if let Some(value) = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

async fn drip(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    head.headers.remove(header::CONTENT_LENGTH);
    let drops = stream::unfold(bytes, |mut left| async move {
        if left.is_empty() {
            return None;
        }
        tokio::time::sleep(DRIP).await;
        Some((Ok::<_, Infallible>(left.split_to(1)), left))
    });
    Response::from_parts(head, Body::from_stream(drops))
}

fn flood(response: Response) -> Response {
    let (mut head, _body) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let chunk = Bytes::from(vec![b' '; 16 << 10]);
    Response::from_parts(head, Body::from_stream(stream::repeat(Ok::<_, Infallible>(chunk))))
}

impl Auth {
    fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = || header("authorization")?.strip_prefix("Bearer ");
        let basic = || {
            String::from_utf8(STANDARD.decode(header("authorization")?.strip_prefix("Basic ")?).ok()?).ok()
        };
        let matches = match self {
            Self::None => true,
            Self::Bearer(key) => bearer() == Some(key),
            Self::ApiKey(key) => header("apikey") == Some(key),
            Self::Basic(pair) => basic().as_ref() == Some(pair),
            Self::Any(key) => {
                bearer() == Some(key)
                    || header("apikey") == Some(key)
                    || basic().is_some_and(|pair| {
                        pair == *key || pair.split_once(':').is_some_and(|(_, word)| word == key)
                    })
            }
        };
        if matches { Ok(()) } else { Err("API Key required") }
    }
}
