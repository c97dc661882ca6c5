//! Names of fields in logs and spans, so that a search for one finds all.
//!
//! `info!({ fields::QUEUE_NAME } = name, "..")`.

/// What joins everything that came of one request.
pub const CORRELATION_ID: &str = "correlation_id";
/// The error, with its chain: see [`super::report`].
pub const ERROR: &str = "error";
/// A trace of W3C Trace Context, 32 hex digits.
pub const TRACE_ID: &str = "trace_id";
/// A span of W3C Trace Context, 16 hex digits.
pub const SPAN_ID: &str = "span_id";
/// [`crate::domain::event::EventId`].
pub const EVENT_ID: &str = "event.id";
/// The host that an event is about.
pub const EVENT_HOST: &str = "event.host";
/// The rule that decided.
pub const RULE_ID: &str = "rule.id";
/// A queue's key in Redis.
pub const QUEUE_NAME: &str = "queue.name";
/// How often something was tried, from 1.
pub const DELIVERY_ATTEMPT: &str = "delivery.attempt";
/// The status that Moogsoft answered.
pub const MOOG_STATUS: &str = "moog.status";
/// A task of [`crate::runtime::Lifecycle`].
pub const TASK_NAME: &str = "task.name";
