//! How a service's process may end.

use std::process::ExitCode;

/// The exit codes, by the numbers of `sysexits.h`, so that a supervisor knows whether a restart can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Asked to stop, and stopped.
    Clean,
    /// Something that must run did not; a restart may help.
    Crash,
    /// The command line is wrong.
    Usage,
    /// A dependency stayed away at start; a restart helps when it is back.
    Unavailable,
    /// The settings are wrong; a restart does not help.
    Config,
}

impl Exit {
    /// The number that the process exits with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Crash => 1,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
