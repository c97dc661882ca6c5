//! Health and metrics, the same on every service.
//!
//! Live means "do not restart me", ready means "send me work". A dependency that is away makes a service not ready, never
//! dead: a restart would not bring the dependency back.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use prometheus::Registry;
use serde_json::{Map, Value};

use crate::telemetry::metrics::render;

/// The product version that health answers name.
pub const HEALTH_VERSION: &str = "2.3";

/// One dependency: its name in the answer (`redis`, `database`), and what is wrong with it.
pub type Check = (&'static str, Result<(), String>);

/// Looks at a service's dependencies.
pub trait Health: Send + Sync + 'static {
    /// The service's name in the answer, as in `mutt-ingestor`.
    fn service(&self) -> &'static str;

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
    answer(ops.health.service(), &[])
}

async fn ready(State(ops): State<Ops>) -> Response {
    answer(ops.health.service(), &ops.health.check().await)
}

/// The original's body: `redis: connected`, and `error` when anything is not.
fn answer(service: &str, checks: &[Check]) -> Response {
    let errors: Vec<String> = checks
        .iter()
        .filter_map(|(name, check)| Some(format!("{name}: {}", check.as_ref().err()?)))
        .collect();
    let mut body = Map::new();
    body.insert("status".to_owned(), if errors.is_empty() { "healthy" } else { "unhealthy" }.into());
    body.insert("service".to_owned(), service.into());
    body.insert("version".to_owned(), HEALTH_VERSION.into());
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
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn parts(response: Response) -> (StatusCode, Value) {
        let status = response.status();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn health_keeps_the_body_of_the_original() {
        let (status, body) = parts(answer("mutt-ingestor", &[("redis", Ok(()))])).await;
        assert_eq!(status, StatusCode::OK);
        let expected = serde_json::json!({
            "status": "healthy", "service": "mutt-ingestor", "version": "2.3", "redis": "connected"
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn a_dependency_that_is_away_makes_503_and_says_which() {
        let checks = [("redis", Ok(())), ("database", Err("refused".to_owned()))];
        let (status, body) = parts(answer("mutt-alerter", &checks)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            (&body["database"], &body["error"]),
            (&"disconnected".into(), &"database: refused".into())
        );
    }
}
