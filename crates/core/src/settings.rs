//! Settings: environment and file become typed values, and every problem is reported at once.
//!
//! A key is the original's flat name (`REDIS_HOST`). It may stand in the environment or, under any section, in the TOML
//! file given by `--config`; the environment wins. There are no serde structs: a section asks the [`Reader`] for each
//! key with default, range and a line of documentation, so that `--print-config`, `--check-config` and `--help` know
//! them too. No value of a secret is read here: secrets come from [`crate::secrets`].
//!
//! Never: stop at the first problem, take an unknown key in silence, or parse a value into something it does not say.

mod known;
mod mask;
mod parse;
mod reader;
mod report;
mod source;

pub mod http;
pub mod postgres;
pub mod process;
pub mod queue;
pub mod redis;
pub mod telemetry;
pub mod vault;

pub use parse::Number;
pub use reader::Reader;
pub use report::{Entry, Note, Origin, Problem, Problems, Report};
pub use source::{SettingsError, environment};
