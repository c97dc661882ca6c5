//! The ingestor as senders see it: real sockets, real Redis, through its own `run`.
//!
//! `#[cfg(test)]` is always true here; it tells clippy that helpers beside tests may unwrap as tests do.

#[cfg(test)]
mod app;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod corpora;
#[cfg(test)]
mod http;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod process;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod syslog;
