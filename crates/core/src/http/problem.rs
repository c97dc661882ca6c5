//! The one shape of an error answer: the original's members, and those of RFC 9457 where they do not clash.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::CorrelationId;

/// An error answer.
///
/// 4xx tells the caller what to change; the detail of a 5xx is generic, and the log line with the same correlation id has
/// the cause. `status` is the original's word `error`, not RFC 9457's number, which the status line has.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    correlation_id: Option<String>,
    retry_after: Option<Duration>,
    extra: Map<String, Value>,
    as_problem_json: bool,
}

impl Problem {
    /// A problem of a documented `kind` (as in `queue-full`), whose `title` is the same for every occurrence.
    #[must_use]
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            title,
            detail: detail.into(),
            correlation_id: None,
            retry_after: None,
            extra: Map::new(),
            as_problem_json: false,
        }
    }

    /// 400: the request cannot be read or lacks something.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be read", detail)
    }

    /// 401: no key, or a wrong one.
    #[must_use]
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid key is needed", detail)
    }

    /// 403: the caller is known and may not.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed", detail)
    }

    /// 404.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// 409: the thing changed, or exists already.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "The state does not allow this", detail)
    }

    /// 413.
    #[must_use]
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    /// 415.
    #[must_use]
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "This form is not taken", detail)
    }

    /// 422: readable, and refused.
    #[must_use]
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", "The values are refused", detail)
    }

    /// 503: a dependency is away; worth repeating after `retry_after`.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now", detail).retry_after(retry_after)
    }

    /// 500: a defect; the log has the cause.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "an internal error; the log has it under this correlation id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something is broken here", detail)
    }

    /// Joins the answer to its request.
    #[must_use]
    pub fn correlate(mut self, id: &CorrelationId) -> Self {
        self.correlation_id = Some(id.as_str().to_owned());
        self
    }

    /// Says when repeating is worth it, in whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds a member beside the standard ones.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Answers as `application/problem+json` when the caller asks for it.
    #[must_use]
    pub fn accepted_by(mut self, headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        self.as_problem_json = accept.contains("application/problem+json");
        self
    }

    /// The status line's number.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "status": "error",
            "message": self.detail,
            "correlation_id": self.correlation_id,
            "type": format!("urn:mutt:problem:{}", self.kind),
            "title": self.title,
            "detail": self.detail,
        });
        if let Value::Object(members) = &mut body {
            members.extend(self.extra);
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.as_problem_json {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        }
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(u32::try_from(after.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2 asks for a challenge; there is no registered scheme for a key in a header.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey realm=\"mutt\""));
        }
        response
    }
}
