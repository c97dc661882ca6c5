//! Every path of the ingestor, and what is asked of a caller there.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, Method, StatusCode};
use mutt_core::{
    http::{
        CorrelationId, Problem, correlation,
        ops::{self, Health},
        version,
    },
    redis::live_settings::LiveSettings,
};
use prometheus::Registry;
use serde_json::{Map, Value, json};

use crate::{
    SERVICE,
    ingest::{App, ingest},
};

/// `restpath="/ingest"` in rsyslog's omhttp posts to `//ingest`.
const INGEST_PATHS: [&str; 4] = ["/ingest", "//ingest", "/api/v1/ingest", "/api/v2/ingest"];

/// What `/admin/config` shows.
pub(crate) struct Shown {
    /// Settings by name; nothing secret among them.
    pub(crate) in_force: Vec<(&'static str, String)>,
    /// What changes while the service runs.
    pub(crate) live: LiveSettings,
    /// Whether it does.
    pub(crate) follows_live: bool,
}

/// All routes.
///
/// | path | caller |
/// |---|---|
/// | `POST /ingest` and its aliases | `X-API-KEY` of a sender |
/// | `GET /admin/config` | `X-API-KEY` of an administrator |
/// | `GET /`, `/health`, `/health/live`, `/health/ready`, `/metrics` | anybody |
pub(crate) fn router(app: Arc<App>, shown: Shown, registry: Registry, health: Arc<dyn Health>) -> Router {
    let admin = Router::new()
        .route("/admin/config", get(admin_config))
        .with_state((Arc::clone(&app), Arc::new(shown)));
    let others = Router::new()
        .route("/", get(index))
        .merge(admin)
        .merge(ops::router(registry, health))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(version::layer))
        .layer(middleware::from_fn(correlation::layer));
    INGEST_PATHS
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, post(ingest).fallback(method_not_allowed)))
        .with_state(app)
        .merge(others)
}

async fn index() -> Json<Value> {
    Json(json!({
        "service": SERVICE,
        "version": ops::HEALTH_VERSION,
        "description": "Takes events by HTTP and syslog and puts them on the ingest queue",
        "endpoints": {
            "ingest": "POST /ingest, /api/v1/ingest, /api/v2/ingest",
            "health": "GET /health, /health/live, /health/ready",
            "metrics": "GET /metrics",
            "config": "GET /admin/config",
        },
    }))
}

async fn admin_config(
    State((app, shown)): State<(Arc<App>, Arc<Shown>)>,
    correlation: CorrelationId,
    headers: HeaderMap,
) -> Response {
    let presented = headers.get("x-api-key").map(http::HeaderValue::as_bytes);
    if presented.and_then(|key| app.keys.now().admin.verify(key).map(drop)).is_none() {
        let problem =
            Problem::unauthorized("send the administrator's key (WEBUI_API_KEY) in the header X-API-KEY");
        return problem.correlate(&correlation).accepted_by(&headers).into_response();
    }
    let in_force: Map<String, Value> =
        shown.in_force.iter().map(|(key, value)| ((*key).to_owned(), value.clone().into())).collect();
    let live: Map<String, Value> = shown
        .live
        .list()
        .into_iter()
        .filter_map(|setting| Some((setting.definition.key.to_owned(), setting.stored?.into())))
        .collect();
    let keys = app.keys.now();
    Json(json!({
        "dynamic_config_enabled": shown.follows_live,
        "static": in_force,
        "dynamic": live,
        "max_ingest_queue_size": app.cap.get(),
        "sender_keys": keys.ingest.names().collect::<Vec<_>>(),
    }))
    .into_response()
}

async fn not_found(correlation: CorrelationId, headers: HeaderMap) -> Response {
    Problem::not_found("there is nothing at this path; events go to POST /ingest")
        .correlate(&correlation)
        .accepted_by(&headers)
        .into_response()
}

async fn method_not_allowed(method: Method, correlation: CorrelationId, headers: HeaderMap) -> Response {
    let detail = format!("{method} is not possible here");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Wrong method", detail)
        .correlate(&correlation)
        .accepted_by(&headers)
        .into_response()
}
