//! The command line of a service.

use std::{ffi::OsString, fmt::Write as _, path::PathBuf};

use clap::{Arg, ArgAction, Command, builder::PathBufValueParser};

use super::exit::Exit;
use crate::settings::Report;

/// What a service was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Run,
    CheckConfig,
    PrintConfig,
    Health,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) config: Option<PathBuf>,
    pub(super) action: Action,
}

/// What is said about a service in its help.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) text: &'static str,
    /// Settings worth knowing first.
    pub(super) highlights: &'a [&'static str],
    /// The service's settings when nothing is set.
    pub(super) defaults: &'a Report,
}

/// Instead of a command line: text to show (help and version are no mistake) and the exit code.
#[derive(Debug)]
pub(super) struct Instead {
    pub(super) text: String,
    pub(super) exit: Exit,
}

pub(super) fn parse(
    about: About<'_>,
    arguments: impl Iterator<Item = OsString>,
) -> Result<CommandLine, Instead> {
    let matches = command(about).try_get_matches_from(arguments).map_err(|error| Instead {
        // Plain text: where it goes may be a file.
        text: error.render().to_string(),
        exit: if error.use_stderr() { Exit::Usage } else { Exit::Clean },
    })?;
    let asked = |flag| matches.get_flag(flag);
    let action = match () {
        () if asked("check-config") => Action::CheckConfig,
        () if asked("print-config") => Action::PrintConfig,
        () if asked("health") => Action::Health,
        () => Action::Run,
    };
    Ok(CommandLine { config: matches.get_one::<PathBuf>("config").cloned(), action })
}

fn command(about: About<'_>) -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).group("action").help(help)
    };
    Command::new(about.name)
        .version(about.version)
        .about(about.text)
        .after_help(after_help(about))
        .group(clap::ArgGroup::new("action").multiple(false))
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(PathBufValueParser::new())
                .help("Read settings from this TOML file; environment variables of the same names win"),
        )
        .arg(flag("check-config", "Say every problem with the settings, start nothing"))
        .arg(flag("print-config", "Print the settings in force as a file for --config, start nothing"))
        .arg(flag("health", "Ask the running service whether it is ready; exit 0 if so, else 1"))
}

fn after_help(about: About<'_>) -> String {
    let entries: Vec<_> = about.highlights.iter().filter_map(|key| about.defaults.entry(key)).collect();
    let keys = entries.iter().map(|entry| entry.key.len()).max().unwrap_or_default();
    let show = |default: &str| if default.is_empty() { "-".to_owned() } else { default.to_owned() };
    let values = entries.iter().map(|entry| show(&entry.default).len()).max().unwrap_or_default();
    let mut text = "Settings (environment variable or file key, default, meaning):\n".to_owned();
    for entry in &entries {
        let _infallible =
            writeln!(text, "  {:keys$}  {:values$}  {}", entry.key, show(&entry.default), entry.doc);
    }
    let _infallible = write!(
        text,
        "  All {} of them, as they are now: {} --print-config\n\n\
         Signals:\n  \
         TERM, INT  finish what is in hand and stop; a second one stops at once\n  \
         HUP        read again what may change while running: rules, secrets, certificates\n\n\
         Exit codes:\n  \
         0   stopped because it was asked to\n  \
         1   crashed: something that must run did not\n  \
         64  the command line is wrong\n  \
         69  a dependency stayed away at start\n  \
         78  the settings are wrong\n",
        about.defaults.entries.len(),
        about.name,
    );
    text
}
