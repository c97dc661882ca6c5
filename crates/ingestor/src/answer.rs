//! What senders are told: the original's bodies, with a verdict per event where they sent several.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use mutt_core::{domain::event::EventId, http::Problem};
use serde::Serialize;

use crate::{body::BodyError, wire::Refusal};

/// A queue that is full drains within seconds or not for long; sooner would only be refused again.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(5);
/// A Redis that restarts is back within a second or two.
const RETRY_WHEN_AWAY: Duration = Duration::from_secs(2);

/// Why an event that is good was not queued; the sender must repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// The queue is at its cap.
    Full {
        /// Entries on it.
        depth: u64,
        /// The cap.
        cap: u64,
    },
    /// Redis is away.
    Away,
}

impl NotNow {
    fn reason(self) -> &'static str {
        match self {
            Self::Full { .. } => "queue-full",
            Self::Away => "unavailable",
        }
    }

    /// The answer when nothing of the request was queued.
    pub(crate) fn problem(self) -> Problem {
        match self {
            Self::Full { depth, cap } => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "queue-full",
                "The ingest queue is full",
                "the queue takes no more events at the moment; repeat the request later",
            )
            .with("queue_depth", depth)
            .with("queue_limit", cap)
            .retry_after(RETRY_WHEN_FULL),
            Self::Away => {
                let detail = "events cannot be stored at the moment; repeat the request later";
                Problem::unavailable(detail, RETRY_WHEN_AWAY)
            }
        }
    }
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Redis has it under this id.
    Queued {
        /// The id; of the first, when it is a repeat.
        id: EventId,
        /// Whether it was sent before under the same idempotency key.
        repeated: bool,
    },
    /// It can never be queued as it is.
    Refused(Refusal),
    /// It could not be queued now.
    NotNow(NotNow),
}

#[derive(Serialize)]
struct One<'a> {
    status: &'static str,
    correlation_id: &'a str,
    queue_depth: u64,
    id: EventId,
    #[serde(skip_serializing_if = "is_false")]
    repeated: bool,
}

#[derive(Serialize)]
struct Several<'a> {
    status: &'static str,
    correlation_id: &'a str,
    queue_depth: u64,
    queued: usize,
    refused: usize,
    events: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Queued {
        index: usize,
        id: EventId,
        #[serde(skip_serializing_if = "is_false")]
        repeated: bool,
    },
    Refused {
        index: usize,
        status: u16,
        reason: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        fields: &'a [String],
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// 200 for one event.
pub(crate) fn one(correlation_id: &str, queue_depth: u64, id: EventId, repeated: bool) -> Response {
    json(StatusCode::OK, &One { status: "queued", correlation_id, queue_depth, id, repeated })
}

/// 200 when all of several events were queued, else 207 with a verdict for each.
pub(crate) fn several(correlation_id: &str, queue_depth: u64, verdicts: &[Verdict]) -> Response {
    let queued = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Queued { .. })).count();
    let (code, status) = if queued == verdicts.len() {
        (StatusCode::OK, "queued")
    } else if queued > 0 {
        (StatusCode::MULTI_STATUS, "partial")
    } else {
        (StatusCode::MULTI_STATUS, "refused")
    };
    let entry = |(index, verdict)| match verdict {
        &Verdict::Queued { id, repeated } => Entry::Queued { index, id, repeated },
        Verdict::Refused(refusal) => Entry::Refused {
            index,
            status: refusal.kind.status().as_u16(),
            reason: refusal.kind.as_str(),
            message: &refusal.detail,
            fields: &refusal.fields,
        },
        Verdict::NotNow(not_now) => Entry::Refused {
            index,
            status: StatusCode::SERVICE_UNAVAILABLE.as_u16(),
            reason: not_now.reason(),
            message: "not stored; repeat this event later",
            fields: &[],
        },
    };
    let events = verdicts.iter().enumerate().map(entry).collect();
    let refused = verdicts.len() - queued;
    json(code, &Several { status, correlation_id, queue_depth, queued, refused, events })
}

/// 400 or 413: nothing in the request can be queued.
pub(crate) fn refused(refusal: Refusal) -> Problem {
    let problem =
        Problem::new(refusal.kind.status(), refusal.kind.as_str(), refusal.kind.title(), refusal.detail);
    if refusal.fields.is_empty() { problem } else { problem.with("fields", refusal.fields) }
}

/// 400, 413 or 415: the body itself.
pub(crate) fn unreadable(error: BodyError, max_bytes: usize) -> Problem {
    match error {
        BodyError::TooLarge => {
            let detail =
                format!("a body may have at most {max_bytes} bytes, decompressed (INGEST_MAX_BODY_BYTES)");
            Problem::too_large(detail)
        }
        BodyError::ContentType => Problem::unsupported(
            "send JSON as application/json, or lines of it as application/x-ndjson or text/plain",
        ),
        BodyError::Encoding => {
            Problem::unsupported("a body may be compressed with gzip or zstd, once, or not at all")
        }
        BodyError::Damaged => Problem::bad_request("the compressed body is damaged or incomplete"),
        BodyError::Incomplete => Problem::bad_request("the body did not arrive whole"),
        BodyError::TooSlow => Problem::bad_request("the body did not arrive in time"),
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => Problem::internal().into_response(), // these bodies have only text and numbers
    }
}
