//! Syslog: what arrives on UDP and TCP, made into events.
//!
//! `framing` finds the messages, `parse` tells their fields apart, `event` writes queue entries; the sockets are in
//! `udp` and `tcp`, and `buffer` brings what they take to Redis. Nothing is dropped because it cannot be read: it
//! becomes an event that says so.

pub(crate) mod buffer;
pub mod event;
pub mod framing;
pub(crate) mod intake;
pub(crate) mod kernel_drops;
pub mod parse;
mod structured_data;
pub(crate) mod tcp;
pub mod timestamp;
pub(crate) mod udp;
