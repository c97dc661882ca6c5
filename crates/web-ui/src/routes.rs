//! The table of paths, and what stands in front of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use http::StatusCode;
use mutt_core::http::{Problem, correlation, ops, version as api_version};
use prometheus::Registry;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

use crate::{
    access,
    api::{audit_logs, config, config_audit, hosts, queues, rules, slo, teams, traffic, version},
    health::Dependencies,
    metrics::{Endpoint, Metrics, Status},
    pages,
    state::App,
};

/// The largest thing anybody sends is a rule with its description.
const BODY_MAX: usize = 64 * 1024;
/// Longer than the database's own limit for a statement, so that its answer comes first.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// Everything that the Web UI serves.
pub(crate) fn router(app: Arc<App>, registry: Registry, health: Dependencies) -> Router {
    let api = Router::new()
        .nest("/api/v1", resources(&app).merge(only_v1(&app)))
        .nest("/api/v2", resources(&app).merge(only_v2(&app)))
        // Behind the guard too: what exists is nobody's business who is not known.
        .route("/api/{*path}", axum::routing::any(no_such_endpoint))
        .route_layer(from_fn_with_state(Arc::clone(&app), access::require))
        .merge(open_api(&app))
        .layer(from_fn(version::deprecation))
        .layer(from_fn(api_version::layer));
    let console = Router::new()
        .route("/", get(pages::overview::show))
        .route("/login", get(pages::login::form).post(pages::login::submit))
        .route("/logout", post(pages::login::logout))
        .route("/static/{*path}", get(pages::assets::serve))
        .fallback(pages::not_found::show);
    Router::new()
        .merge(api)
        .merge(console)
        .with_state(app)
        .merge(ops::router(registry, Arc::new(health)))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_LIMIT))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Problem::internal().into_response()
        }))
        .layer(from_fn(access::refuse_keys_in_addresses))
        .layer(from_fn(pages::headers::layer))
        .layer(from_fn(correlation::layer))
}

type Routes = Router<Arc<App>>;

/// What both versions have.
fn resources(app: &Arc<App>) -> Routes {
    let on = |endpoint, methods| measured(app, endpoint, methods);
    Router::new()
        .route("/metrics", on(Endpoint::Metrics, get(traffic::metrics)))
        .route("/slo", on(Endpoint::Slo, get(slo::list)))
        .route("/rules", on(Endpoint::Rules, get(rules::list).post(rules::create)))
        .route("/rules/{id}", on(Endpoint::Rules, get(rules::get).put(rules::update).delete(rules::delete)))
        .route("/dev-hosts", on(Endpoint::Hosts, get(hosts::list).post(hosts::create)))
        .route("/dev-hosts/{hostname}", on(Endpoint::Hosts, axum::routing::delete(hosts::delete)))
        .route("/teams", on(Endpoint::Teams, get(teams::list).post(teams::create)))
        .route(
            "/teams/{hostname}",
            on(Endpoint::Teams, get(teams::get).put(teams::update).delete(teams::delete)),
        )
        .route("/audit-logs", on(Endpoint::Audit, get(audit_logs::list)))
        .route("/config-audit", on(Endpoint::Audit, get(config_audit::changes)))
        .route("/config", on(Endpoint::Config, get(config::list)))
        .route("/config/history", on(Endpoint::Config, get(config_audit::history)))
        .route(
            "/config/{key}",
            on(Endpoint::Config, get(config::get).put(config::put).delete(config::delete)),
        )
}

fn only_v1(app: &Arc<App>) -> Routes {
    Router::new().route("/audit", measured(app, Endpoint::Audit, get(config_audit::logs)))
}

fn only_v2(app: &Arc<App>) -> Routes {
    let on = |endpoint, methods| measured(app, endpoint, methods);
    Router::new()
        .route("/queues", on(Endpoint::Queues, get(queues::queues)))
        .route("/ledger", on(Endpoint::Queues, get(queues::ledger)))
        .route("/events", on(Endpoint::Audit, get(audit_logs::events)))
        .route("/events/{id}", on(Endpoint::Audit, get(audit_logs::event)))
}

/// What needs no key.
fn open_api(app: &Arc<App>) -> Routes {
    let version = || measured(app, Endpoint::Other, get(version::version));
    Router::new().route("/api/v1/version", version()).route("/api/v2/version", version())
}

async fn no_such_endpoint() -> Problem {
    Problem::not_found("there is no such endpoint")
}

async fn wrong_method() -> Problem {
    let title = "This method is not taken";
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        title,
        "the header Allow says which are",
    )
}

/// Counts and times the requests of a path, and answers methods that it does not have.
fn measured(app: &Arc<App>, endpoint: Endpoint, methods: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    let measure = from_fn_with_state((Arc::clone(&app.metrics), endpoint), measure);
    methods.fallback(wrong_method).layer(measure)
}

async fn measure(
    State((metrics, endpoint)): State<(Arc<Metrics>, Endpoint)>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let response = next.run(request).await;
    let told = response.extensions().get::<Status>().copied();
    let status = told.unwrap_or_else(|| match response.status() {
        status if status.is_client_error() => Status::ErrorInvalid,
        status if status.is_server_error() => Status::Error,
        _ => Status::Success,
    });
    metrics.answered(endpoint, status, began.elapsed().as_secs_f64());
    response
}
