//! Tests against real Redis, PostgreSQL and Vault.

mod breaker;
mod queue_scripts;
mod rate_limiter;
