//! The id that joins a request to its events, alerts, audit rows and log lines.

use std::{convert::Infallible, fmt, panic::AssertUnwindSafe};

use axum::{
    extract::{FromRequestParts, Request},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use uuid::Uuid;

use super::problem::{Problem, takes_problem_json};
use crate::telemetry::context::{self, Context};

/// The header it comes and goes in.
pub const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// 1 to 128 printable ASCII characters: safe in logs, headers and database columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrelationId {
    text: String,
    given: bool,
}

impl CorrelationId {
    /// The sender's id when it is acceptable, else a new `UUIDv7`.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let given =
            headers.get(&HEADER).and_then(|value| value.to_str().ok()).filter(|text| is_acceptable(text));
        match given {
            Some(text) => Self { text: text.to_owned(), given: true },
            None => Self { text: Uuid::now_v7().to_string(), given: false },
        }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the sender chose it, so that all events of the request share it.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.given
    }
}

/// Whether a text may be a correlation id.
#[must_use]
pub fn is_acceptable(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<S: Sync> FromRequestParts<S> for CorrelationId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

/// Middleware for `axum::middleware::from_fn`: gives the request its id, and returns it in the answer.
///
/// Log lines and a [`Problem`] made inside carry the id; the [`Problem`] takes the form that the caller accepts. A handler
/// that panics answers 500 and ends nobody else's connection.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let id = CorrelationId::of(request.headers());
    let context = Context {
        correlation_id: id.as_str().into(),
        takes_problem_json: takes_problem_json(request.headers()),
    };
    let header = HeaderValue::from_str(id.as_str());
    request.extensions_mut().insert(id);
    let answer = async {
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        // The panic hook has logged message and place.
        answer.unwrap_or_else(|_panic| Problem::internal().into_response())
    };
    let mut response = context::within(context, answer).await;
    if let Ok(header) = header {
        response.headers_mut().insert(HEADER, header);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    async fn answer_to(request: Request) -> (http::response::Parts, serde_json::Value) {
        let router = Router::new()
            .route("/fails", get(|| async { Problem::bad_request("no") }))
            .route("/panics", get(panics))
            .layer(from_fn(layer));
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 10_000).await.unwrap();
        (parts, serde_json::from_slice(&body).unwrap())
    }

    async fn panics() -> &'static str {
        panic!("for a test")
    }

    #[tokio::test]
    async fn a_problem_knows_its_request() {
        let request =
            Request::get("/fails").header(HEADER, "req-1").header("accept", "application/problem+json");
        let (parts, body) = answer_to(request.body(Body::empty()).unwrap()).await;
        assert_eq!(parts.headers[HEADER], "req-1");
        assert_eq!(parts.headers["content-type"], "application/problem+json");
        assert_eq!(body["correlation_id"], "req-1");
    }

    #[tokio::test]
    async fn a_panic_answers_500_with_the_correlation_id() {
        let (parts, body) = answer_to(Request::get("/panics").body(Body::empty()).unwrap()).await;
        assert_eq!(parts.status, 500);
        assert_eq!(body["correlation_id"], parts.headers[HEADER].to_str().unwrap());
        assert!(!body.to_string().contains("for a test"));
    }

    fn of(value: &[u8]) -> CorrelationId {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
        CorrelationId::of(&headers)
    }

    #[test]
    fn printable_ascii_of_some_length_is_kept_and_the_rest_replaced() {
        assert_eq!(of(b"req-1").as_str(), "req-1");
        assert!(of(&[b'x'; 128]).is_given());
        for refused in [&b""[..], &[b'x'; 129], b"tab\there", "\u{fc}".as_bytes()] {
            let id = of(refused);
            assert!(!id.is_given(), "{refused:?}");
            assert_eq!(id.as_str().len(), 36);
        }
    }
}
