//! The API: version 1 as the original promised it, version 2 beside it with the same resources and a few more.
//!
//! Handlers decide nothing about access: [`crate::routes`] puts the guard in front of all of them. No inner error leaves a
//! handler; [`answer::Refusal`] is the only way out, and it says only what helps the caller.

pub(crate) mod answer;
pub(crate) mod audit_logs;
pub(crate) mod config;
pub(crate) mod config_audit;
pub(crate) mod hosts;
pub(crate) mod input;
pub(crate) mod paging;
pub(crate) mod queues;
pub(crate) mod rules;
pub(crate) mod slo;
pub(crate) mod teams;
pub(crate) mod traffic;
pub(crate) mod version;
