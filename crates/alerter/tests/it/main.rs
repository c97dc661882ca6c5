//! The alerter through its own `run`, with real Redis and PostgreSQL: what is put on the ingest queue ends in the audit, on
//! the alert queue or in the dead letters, and nowhere twice.
//!
//! `#[cfg(test)]` is always true here; it tells clippy that helpers beside tests may unwrap as tests do.

#[cfg(test)]
mod corpora;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod ops;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod unhandled;
