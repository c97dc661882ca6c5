//! The command line itself: what there is, and which module does it.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::output::{Output, complain, is_closed_pipe};
use crate::{config, exit, ledger, migrate, moog_sim, queues, seed, send, up};

const EXAMPLES: &str = "\
Begin here:
  mutt up                                  a whole private MUTT on this machine, until Ctrl-C
  mutt send udp                            a thousand made-up syslog lines into it
  mutt queues                              what waits where
  mutt ledger                              proof that nothing was lost

Every command takes --json. Exit codes: 0 done, 1 failed, 64 wrong command line, 69 something that is needed is not
there, 78 wrong setting.";

/// Runs, feeds and inspects MUTT, the event pipeline from your devices to Moogsoft.
#[derive(Debug, Parser)]
#[command(name = "mutt", version, after_help = EXAMPLES, propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    /// Print results as JSON, one value per line.
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Send(send::Args),
    Queues(queues::Args),
    Ledger(ledger::Args),
    Migrate(migrate::Args),
    Seed(seed::Args),
    Config(config::Args),
    MoogSim(moog_sim::Args),
}

/// Parses the command line, runs the command and returns its exit code.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help goes to standard output, a refusal to standard error; neither can be reported elsewhere.
            let (Ok(()) | Err(_)) = refusal.print();
            return exit::for_usage(&refusal);
        }
    };
    match run(cli.command, Output::new(cli.json)) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let code = exit::code_of(&error);
            if cli.json {
                complain(
                    &serde_json::json!({ "error": format!("{error:#}"), "exit_code": code }).to_string(),
                );
            } else {
                complain(&format!("mutt: {error:#}"));
            }
            ExitCode::from(code)
        }
    }
}

fn run(command: Command, out: Output) -> anyhow::Result<ExitCode> {
    // Fails only when a provider is installed already, which is as good.
    let (Ok(()) | Err(_)) = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        match command {
            Command::Up(args) => up::run(args, out).await,
            Command::Send(args) => send::run(args, out).await,
            Command::Queues(args) => queues::run(args, out).await,
            Command::Ledger(args) => ledger::run(args, out).await,
            Command::Migrate(args) => migrate::run(args, out).await,
            Command::Seed(args) => seed::run(args, out).await,
            Command::Config(args) => config::run(args, out).await,
            Command::MoogSim(args) => moog_sim::run(args, out).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
