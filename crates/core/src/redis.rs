//! Redis: connections, key names, scripts.

pub mod breaker;
pub mod keys;
pub mod live_settings;
pub mod rate_limiter;
pub mod scripts;
