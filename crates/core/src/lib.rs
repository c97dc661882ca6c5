//! Shared core of the MUTT services.
//!
//! Imports point one way: `domain <- redis, db, secrets <- queue <- services`. `domain` and `rules` are pure: no tokio,
//! Redis, SQL, HTTP or tracing in them, so that what MUTT decides can be tested on its own.
//!
//! | module | what it holds |
//! |---|---|
//! | [`domain`] | events, alerts, rules, hosts, audit rows, the clock |
//! | [`rules`] | compiled rules and the matching that alerter, console and command line share |
//! | [`settings`] | environment and file into typed settings, every problem at once |
//! | [`secrets`] | Vault or a file, live |
//! | [`redis`] | connections, key names, scripts, shared limiter and breaker |
//! | [`db`] | PostgreSQL: connection, migrations, one module per table |
//! | [`queue`] | the delivery protocol: lanes, leases, janitor, dead letters, ledger |
//! | [`http`] | serving, problems, keys, correlation ids, health and metrics |
//! | [`telemetry`] | logs and the metrics registry |
//! | [`runtime`] | process life: start, drain, exit codes |

pub mod db;
pub mod domain;
pub mod http;
pub mod queue;
pub mod redis;
pub mod rules;
pub mod runtime;
pub mod secrets;
pub mod settings;
pub mod telemetry;
