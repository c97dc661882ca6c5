//! Tests against real Redis, PostgreSQL and Vault.
//!
//! The modules are marked as tests so that the lints know that a failed `unwrap` in a helper is a failed test.

#[cfg(test)]
mod breaker;
#[cfg(test)]
mod db;
#[cfg(test)]
mod http;
#[cfg(test)]
mod live_settings;
#[cfg(test)]
mod queue_enqueue;
#[cfg(test)]
mod queue_lanes;
#[cfg(test)]
mod queue_model;
#[cfg(test)]
mod queue_redrive;
#[cfg(test)]
mod queue_scripts;
#[cfg(test)]
mod rate_limiter;
#[cfg(test)]
mod redis_connect;
#[cfg(test)]
mod secrets_vault;
