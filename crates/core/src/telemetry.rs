//! Logs and metrics.
//!
//! Logs go to stderr: as text for people, or as one JSON object per line by the original's keys. An error is logged once,
//! where it is handled, as the field `error` with its whole chain. Never logged: a secret, and at info anything per event.

pub mod context;
pub mod fields;
mod log;
pub mod metrics;

use std::{backtrace::BacktraceStatus, error::Error, io::IsTerminal as _};

use tracing::error;
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::settings::telemetry::TelemetrySettings;

pub use log::{Form, LogLayer};

/// Who is logging; part of every JSON line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// As `mutt-alerter`.
    pub service: &'static str,
    /// Of the binary.
    pub version: &'static str,
    /// `POD_NAME`.
    pub pod_name: String,
}

/// Sends logs to stderr from now on, and panics into the log.
///
/// # Errors
/// The process logs elsewhere already.
pub fn init(
    settings: &TelemetrySettings,
    identity: Identity,
) -> Result<(), tracing_subscriber::util::TryInitError> {
    let form =
        if settings.json { Form::Json } else { Form::Text { colour: std::io::stderr().is_terminal() } };
    let lines = LogLayer::new(form, identity, std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(settings.filter.clone())).try_init()?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The way to log an error: `error = report(&error)` keeps its chain, which `%error` does not.
///
/// For an `anyhow::Error`: `report(&*error)`.
#[must_use]
pub fn report<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    error
}

fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = std::backtrace::Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        error!(place, backtrace = %backtrace, "panic: {message}");
    } else {
        error!(place, "panic: {message}");
    }
}
