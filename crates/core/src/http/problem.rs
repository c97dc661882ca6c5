//! The one shape of an error answer: the original's members, and those of RFC 9457 where they do not clash.

use std::{error::Error, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tracing::error;

use super::CorrelationId;
use crate::telemetry::{context, report};

/// The media type of RFC 9457.
const PROBLEM_JSON: &str = "application/problem+json";

/// An error answer.
///
/// 4xx tells the caller what to change; the detail of a 5xx is generic, and the log line with the same correlation id has
/// the cause.
///
/// As `application/json`, the answer of old: `status` is the word `error`, with `message` and `correlation_id`, and beside
/// them `type`, `title` and `detail`. As `application/problem+json`, for callers whose `Accept` names it, `status` is the
/// number that RFC 9457 wants there. Inside [`super::correlation::layer`] the correlation id and the form come by
/// themselves.
///
/// ```
/// use axum::response::IntoResponse as _;
/// use mutt_core::http::Problem;
/// use std::time::Duration;
///
/// let full = Problem::unavailable("the queue is full", Duration::from_secs(5)).with("queue_depth", 1_000_000);
/// assert_eq!(full.into_response().headers()["retry-after"], "5");
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    correlation_id: Option<String>,
    retry_after: Option<Duration>,
    extra: Map<String, Value>,
    /// `None`: as the request that is being answered wants it.
    as_problem_json: Option<bool>,
}

impl Problem {
    /// A problem of a documented `kind` (as in `queue-full`), whose `title` is the same for every occurrence.
    #[must_use]
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            title,
            detail: detail.into(),
            correlation_id: None,
            retry_after: None,
            extra: Map::new(),
            as_problem_json: None,
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
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "This form is not taken",
            detail,
        )
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

    /// 429: too much; worth repeating after `retry_after`.
    #[must_use]
    pub fn rate_limited(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too much at once", detail)
            .retry_after(retry_after)
    }

    /// 405.
    #[must_use]
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Wrong method", detail)
    }

    /// 500 because of `cause`, which goes to the log and nowhere else.
    #[must_use]
    pub fn caused_by(cause: &(dyn Error + 'static)) -> Self {
        error!(error = report(cause), "a request failed: {cause}");
        Self::internal()
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
        self.as_problem_json = Some(takes_problem_json(headers));
        self
    }

    /// The status line's number.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// Whether the caller's `Accept` names the media type of RFC 9457. `*/*` does not: it is what a sender says that never
/// thought about it, and those know the answers of old.
pub(super) fn takes_problem_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepted.flat_map(|accept| accept.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case(PROBLEM_JSON));
        is_it
            && !parts.any(|parameter| parameter.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32)))
    })
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let request = context::current();
        let correlation_id = self
            .correlation_id
            .or_else(|| request.as_ref().map(|request| request.correlation_id.to_string()));
        let as_problem_json =
            self.as_problem_json.unwrap_or_else(|| request.is_some_and(|request| request.takes_problem_json));
        let mut body = Map::new();
        let mut say = |name: &str, value: Value| body.insert(name.to_owned(), value);
        say("status", if as_problem_json { self.status.as_u16().into() } else { "error".into() });
        say("message", self.detail.as_str().into());
        say("correlation_id", correlation_id.into());
        say("type", format!("urn:mutt:problem:{}", self.kind).into());
        say("title", self.title.into());
        say("detail", self.detail.into());
        let seconds = self.retry_after.map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0));
        if let Some(seconds) = seconds {
            say("retry_after", seconds.max(1).into());
        }
        body.extend(self.extra);
        let mut response = (self.status, Json(json!(body))).into_response();
        let headers = response.headers_mut();
        if as_problem_json {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        }
        if let Some(seconds) = seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2 asks for a challenge; there is no registered scheme for a key in a header.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey realm=\"mutt\""));
        }
        response
    }
}

#[cfg(test)]
mod tests;
