//! Real servers for tests and for `mutt up`, and the few tools that tests of a pipeline need.
//!
//! Everything runs on loopback, on a port that was free a moment ago or on the one asked for. A server dies with the
//! value that stands for it, and with this process however that ends ([`process`] says how), so nothing is left behind
//! by a failed test or by Ctrl-C. Nothing here needs to be inside a test: a builder takes a data directory to keep.
//!
//! | item | what it is |
//! |---|---|
//! | [`RedisServer`], [`PostgresServer`], [`VaultServer`] | the real programs, with kill, pause and restart |
//! | [`moog::MoogServer`] | a stand-in for Moogsoft that remembers what it was sent and goes wrong on command |
//! | [`Proxy`] | a TCP link that can be cut, frozen, slowed or made half-open |
//! | [`Authority`] | a throw-away certificate authority |
//! | [`eventually()`] | polls until something holds, and says what it last saw when it never does |

mod error;
mod eventually;
pub mod moog;
mod postgres;
mod process;
mod proxy;
mod redis;
mod tls;
mod vault;

pub use error::ServerError;
pub use eventually::{Outcome, eventually};
pub use postgres::{PostgresBuilder, PostgresServer};
pub use process::free_port;
pub use proxy::{Link, Proxy};
pub use redis::{AppendFsync, RedisBuilder, RedisServer};
pub use tls::{Authority, Identity, install_tls_provider};
pub use vault::{AppRole, AppRoleOptions, VaultBuilder, VaultServer};
