//! Takes events by HTTP and syslog and puts them on the ingest queue.

mod flags;
pub mod syslog;
pub mod wire;
