//! Tests against real Redis, PostgreSQL and Vault.

mod breaker;
mod db;
#[cfg(test)]
mod http;
mod live_settings;
mod queue_enqueue;
mod queue_lanes;
mod queue_model;
mod queue_redrive;
mod queue_scripts;
mod rate_limiter;
mod redis_connect;
mod secrets_vault;
