//! Process life: command line, settings, start, drain, exit code.
//!
//! [`run_main`] is all that a service's `main` calls; it owns the process (signals, runtime, telemetry) and hands the
//! service its settings and a [`Lifecycle`]. Every task of the process runs on that lifecycle, so that none dies quietly
//! and none is left behind: a first SIGTERM or SIGINT asks for a drain, a second one or the end of the grace drops what
//! is unfinished. What was queued stays queued; what was in hand is redelivered.

mod backoff;
mod command;
mod exit;
mod lifecycle;
mod main;
mod probe;
mod start;

pub use backoff::{Backoff, InvalidBackoff};
pub use exit::Exit;
pub use lifecycle::Lifecycle;
pub use main::{Service, run_main};
pub use probe::ProbeTarget;
pub use start::{OrUnavailable, StartError, wait_for};
