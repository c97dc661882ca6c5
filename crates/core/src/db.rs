//! PostgreSQL: what lasts. One module per table; every statement is checked against the schema at build time.
//!
//! What must never happen here: a change without its row in the configuration audit, in the same transaction; a lock
//! that is held while something else than the database is waited for.

pub mod config_audit;
mod connect;
mod error;
pub mod event_audit;
pub mod hosts;
pub mod live_settings;
mod migrate;
pub mod partitions;
pub mod rules;
pub mod seed;
pub mod teams;

pub use self::{
    connect::{check, connect},
    error::{Class, DbError},
    migrate::{MIGRATOR, check_schema, migrate},
};

/// Channel on which the database tells, at commit, which of the tables that rules depend on has changed.
pub const RULES_CHANNEL: &str = "mutt_rules";

/// What became of a change to one record that must exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// It was made; this is the record now.
    Done(T),
    /// There is no such record.
    NotFound,
    /// Somebody else changed the record since the version that the caller knows; this is the record now.
    Conflict(T),
}

/// What became of a new record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation<T> {
    /// It was made.
    Done(T),
    /// There is one with this key.
    Duplicate,
}
