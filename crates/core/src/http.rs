//! What every HTTP listener of MUTT shares: serving and draining, errors, keys, correlation ids, versions, health.
//!
//! Only a [`Problem`] leaves a process as an error, and none carries the text of an inner one. Nothing here logs a request:
//! a busy ingestor would spend more on that than on the events.

pub mod auth;
mod body;
pub mod correlation;
pub mod ops;
mod problem;
mod serve;
pub mod tls;
pub mod version;

pub use self::{
    auth::ApiKeys,
    correlation::CorrelationId,
    problem::Problem,
    serve::{serve, serve_tls},
    tls::{ServerTls, TlsError},
};
