//! What a handler answers when it cannot do what was asked.

use std::{error::Error, time::Duration};

use axum::response::{IntoResponse, Response};
use mutt_core::{
    db::{Class, DbError},
    http::Problem,
    rules::FieldProblem,
};
use serde::Serialize;

use crate::metrics::Status;

/// A database or Redis that is away is often back by then.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Refusal>;

/// A problem, and whose fault it was, for the metrics.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Boxed: it is large, and rare.
    problem: Box<Problem>,
    status: Option<Status>,
}

/// What is wrong with one member of a body, or one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), column: None }
    }
}

impl From<FieldProblem> for Fault {
    fn from(problem: FieldProblem) -> Self {
        Self { field: problem.field.to_owned(), problem: problem.problem, column: problem.column }
    }
}

impl Refusal {
    /// 400 with all that cannot be read or is missing.
    pub(crate) fn unreadable(faults: &[Fault]) -> Self {
        Problem::bad_request(summary(faults)).with("errors", listed(faults)).into()
    }

    /// 422 with all that is refused.
    pub(crate) fn refused(faults: &[Fault]) -> Self {
        Problem::refused(summary(faults)).with("errors", listed(faults)).into()
    }

    /// 503: Redis does not answer. The log has the cause.
    pub(crate) fn redis(error: &(dyn Error + 'static)) -> Self {
        tracing::warn!(error, "Redis did not answer a request of the API");
        Self::redis_away()
    }

    /// 503: Redis has not answered for a while.
    pub(crate) fn redis_away() -> Self {
        let problem = Problem::unavailable("Redis does not answer", RETRY_AFTER);
        Self { problem: Box::new(problem), status: Some(Status::FailRedis) }
    }
}

fn summary(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{}: {}", fault.field, fault.problem)).collect::<Vec<_>>().join("; ")
}

fn listed(faults: &[Fault]) -> serde_json::Value {
    serde_json::to_value(faults).unwrap_or_default()
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), status: None }
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        let cause = &error as &(dyn Error + 'static);
        match error.class() {
            // Our own checks let a value through that PostgreSQL cannot hold.
            Class::DataFault => {
                tracing::info!(error = cause, "the database refused a value");
                Problem::bad_request("a value holds something that cannot be stored or compared").into()
            }
            Class::Retry => {
                tracing::warn!(error = cause, "a change met another one");
                Problem::unavailable("somebody else is changing the same thing", Duration::from_secs(1))
                    .into()
            }
            Class::Outage => {
                tracing::warn!(error = cause, "the database could not be used for a request");
                Problem::unavailable("the database does not answer", RETRY_AFTER).into()
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        if let Some(status) = self.status {
            response.extensions_mut().insert(status);
        }
        response
    }
}
