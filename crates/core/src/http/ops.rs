//! Health and metrics, the same on every service.
//!
//! Live means "do not restart me", ready means "send me work". A dependency that is away makes a service not ready, never
//! dead: a restart would not bring the dependency back.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use prometheus::Registry;
use serde_json::{Map, Value};

use super::Problem;
use crate::telemetry::metrics::{CONTENT_TYPE, render};

/// The product version that health answers name.
pub const HEALTH_VERSION: &str = "2.3";

/// Checks that take longer are given up: the probes of supervisors wait for five seconds and less.
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// One dependency: its name in the answer (`redis`, `database`), and what is wrong with it.
pub type Check = (&'static str, Result<(), String>);

/// Looks at a service's dependencies.
pub trait Health: Send + Sync + 'static {
    /// The service's name in the answer, as in `mutt-ingestor`.
    fn service(&self) -> &'static str;

    /// `POD_NAME`, where the answer of old had it.
    fn pod_name(&self) -> Option<&str> {
        None
    }

    /// Asks each dependency; to be answered within a second or two, whatever they do.
    fn check(&self) -> Pin<Box<dyn Future<Output = Vec<Check>> + Send + '_>>;
}

#[derive(Clone)]
struct Ops {
    health: Arc<dyn Health>,
    registry: Registry,
}

/// `/health`, `/health/live`, `/health/ready` and `/metrics`.
pub fn router(registry: Registry, health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/health", get(ready))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Ops { health, registry })
}

async fn live(State(ops): State<Ops>) -> Response {
    answer(&*ops.health, &[])
}

async fn ready(State(ops): State<Ops>) -> Response {
    let checks = tokio::time::timeout(CHECK_LIMIT, ops.health.check()).await;
    let checks = checks.unwrap_or_else(|_| vec![("dependencies", Err("no answer in time".to_owned()))]);
    answer(&*ops.health, &checks)
}

/// The original's body: `redis: connected`, and `error` when anything is not.
fn answer(health: &dyn Health, checks: &[Check]) -> Response {
    let errors: Vec<String> = checks
        .iter()
        .filter_map(|(name, check)| Some(format!("{name}: {}", check.as_ref().err()?)))
        .collect();
    let mut body = Map::new();
    body.insert("status".to_owned(), if errors.is_empty() { "healthy" } else { "unhealthy" }.into());
    body.insert("service".to_owned(), health.service().into());
    body.insert("version".to_owned(), HEALTH_VERSION.into());
    if let Some(pod_name) = health.pod_name() {
        body.insert("pod".to_owned(), pod_name.into());
    }
    for (name, check) in checks {
        body.insert((*name).to_owned(), if check.is_ok() { "connected" } else { "disconnected" }.into());
    }
    let status = if errors.is_empty() {
        StatusCode::OK
    } else {
        body.insert("error".to_owned(), errors.join("; ").into());
        body.insert("errors".to_owned(), errors.into());
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Value::Object(body))).into_response()
}

async fn metrics(State(ops): State<Ops>) -> Response {
    match render(&ops.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => Problem::caused_by(&error).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use serde_json::json;
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry::metrics::Metrics;

    enum Fake {
        Up,
        Down,
        Hangs,
    }

    impl Health for Fake {
        fn service(&self) -> &'static str {
            "mutt-test"
        }

        fn pod_name(&self) -> Option<&str> {
            matches!(self, Self::Down).then_some("test-1")
        }

        fn check(&self) -> Pin<Box<dyn Future<Output = Vec<Check>> + Send + '_>> {
            Box::pin(async move {
                match self {
                    Self::Up => vec![("redis", Ok(())), ("database", Ok(()))],
                    Self::Down => vec![("redis", Ok(())), ("database", Err("refused".to_owned()))],
                    Self::Hangs => std::future::pending().await,
                }
            })
        }
    }

    async fn get(health: Fake, path: &str) -> (http::response::Parts, String) {
        let metrics = Metrics::new("mutt-test", "1").unwrap();
        let router = router(metrics.registry().clone(), Arc::new(health));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 100_000).await.unwrap();
        (parts, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get_json(health: Fake, path: &str) -> (u16, Value) {
        let (parts, body) = get(health, path).await;
        (parts.status.as_u16(), serde_json::from_str(&body).unwrap())
    }

    #[tokio::test]
    async fn health_keeps_the_body_of_the_original() {
        let healthy = json!({
            "status": "healthy", "service": "mutt-test", "version": "2.3",
            "redis": "connected", "database": "connected",
        });
        assert_eq!(get_json(Fake::Up, "/health").await, (200, healthy.clone()));
        assert_eq!(get_json(Fake::Up, "/health/ready").await, (200, healthy));
    }

    #[tokio::test]
    async fn a_dependency_that_is_away_makes_not_ready_but_never_dead() {
        let (status, body) = get_json(Fake::Down, "/health").await;
        assert_eq!(status, 503);
        assert_eq!(
            body,
            json!({
                "status": "unhealthy", "service": "mutt-test", "version": "2.3", "pod": "test-1",
                "redis": "connected", "database": "disconnected",
                "error": "database: refused", "errors": ["database: refused"],
            })
        );
        assert_eq!(get_json(Fake::Down, "/health/live").await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_given_up() {
        let (status, body) = get_json(Fake::Hangs, "/health/ready").await;
        assert_eq!((status, &body["error"]), (503, &"dependencies: no answer in time".into()));
        assert_eq!(get_json(Fake::Hangs, "/health/live").await.0, 200);
    }

    #[tokio::test]
    async fn metrics_are_served_as_prometheus_wants_them() {
        let (parts, body) = get(Fake::Down, "/metrics").await;
        assert_eq!(parts.headers[header::CONTENT_TYPE], "text/plain; version=0.0.4");
        assert!(body.contains("mutt_build_info{"), "{body}");
    }
}
