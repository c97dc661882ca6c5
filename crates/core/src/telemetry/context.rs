//! What is being worked on right now, for log lines and answers written deep inside.
//!
//! A task-local, as a span per request would cost more than the rest of the request.

use std::{future::Future, sync::Arc};

tokio::task_local! {
    static CURRENT: Context;
}

/// What a piece of work is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Joins log lines, answers and events of one cause.
    pub correlation_id: Arc<str>,
    /// Whether the caller takes `application/problem+json`.
    pub takes_problem_json: bool,
}

impl Context {
    /// Work for one event, outside any request.
    #[must_use]
    pub fn for_event(correlation_id: &str) -> Self {
        Self { correlation_id: correlation_id.into(), takes_problem_json: false }
    }
}

/// Runs `work` as part of `context`. Tasks that it spawns are not part of it.
pub fn within<F: Future>(context: Context, work: F) -> tokio::task::futures::TaskLocalFuture<Context, F> {
    CURRENT.scope(context, work)
}

/// What the running task works on, if it said so.
#[must_use]
pub fn current() -> Option<Context> {
    CURRENT.try_with(Clone::clone).ok()
}
