//! Exit codes, the same as the services': scripts tell a typing mistake from a server that is away.

use std::fmt;
use std::process::ExitCode;

/// The command line cannot be understood.
const USAGE: u8 = 64;
/// Something that the command needs is not there.
const UNAVAILABLE: u8 = 69;
/// A setting or file is wrong.
const CONFIG: u8 = 78;

/// Words on an error that also decide the exit code; attach it with `.context(..)`. Without one the code is 1.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    /// What was asked for makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// A server, file or program that is needed is not there.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self { code: UNAVAILABLE, message: message.into() }
    }

    /// A setting or the content of a file is wrong.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { code: CONFIG, message: message.into() }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}

/// The exit code that an error asks for.
pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Exit>().map_or(1, |exit| exit.code)
}

/// The exit code for a command line that clap refused; asking for help is not a refusal.
pub(crate) fn for_usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_code_survives_further_context() {
        let refused: Result<(), _> = Err(std::io::Error::other("refused"));
        let error = refused
            .context(Exit::unavailable("connecting to Redis"))
            .context("reading the queues")
            .unwrap_err();
        assert_eq!(code_of(&error), UNAVAILABLE);
        assert_eq!(format!("{error:#}"), "reading the queues: connecting to Redis: refused");
        assert_eq!(code_of(&anyhow::anyhow!("odd")), 1);
    }
}
