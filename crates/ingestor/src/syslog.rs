//! Syslog: what arrives on UDP and TCP, made into events.
//!
//! `framing` finds the messages, `parse` tells their fields apart, `event` writes queue entries; the sockets are in
//! `udp` and `tcp`. Nothing is dropped because it cannot be read: it becomes an event that says so.

pub mod event;
pub mod framing;
pub mod parse;
mod structured_data;
pub mod timestamp;
