//! Why a server could not be started, in words a person can act on.

use std::path::PathBuf;
use std::time::Duration;

/// Why a server did not start or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program is not on this machine; `remedy` is the command that installs it.
    #[error("{program} is not installed; {remedy}")]
    NotInstalled {
        /// Name of the missing program.
        program: &'static str,
        /// What to do about it.
        remedy: String,
    },
    /// Another live process already runs a server on this data directory.
    #[error("{server} already runs on {} (process {pid}, started by process {owner})", dir.display())]
    AlreadyRunning {
        /// Which server.
        server: &'static str,
        /// Its data directory.
        dir: PathBuf,
        /// Process id of the running server.
        pid: u32,
        /// Process id of who started it.
        owner: u32,
    },
    /// The server ended before it was ready; `log` is the end of what it wrote.
    #[error("{server} ended while starting; the end of its log:\n{log}")]
    Exited {
        /// Which server.
        server: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// The server runs but did not become ready in time.
    #[error("{server} was not ready within {waited:?}; the end of its log:\n{log}")]
    NotReady {
        /// Which server.
        server: &'static str,
        /// How long was waited.
        waited: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// A file, directory or process operation failed.
    #[error("{server}: {action}")]
    Io {
        /// Which server.
        server: &'static str,
        /// What was attempted, on what.
        action: String,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The server runs but refused a set-up step.
    #[error("{server}: {action}: {detail}")]
    Setup {
        /// Which server.
        server: &'static str,
        /// What was attempted.
        action: String,
        /// What the server answered.
        detail: String,
    },
}

impl ServerError {
    pub(crate) fn io(server: &'static str, action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { server, action, source }
    }

    /// Whether the server ended because its port was taken in the moment between choosing and binding it.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Exited { log, .. } if log.to_ascii_lowercase().contains("address already in use"))
    }
}
