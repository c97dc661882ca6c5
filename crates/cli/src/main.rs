//! `mutt`: the one tool for people who run MUTT. One module per subcommand.

mod cli;
mod config;
mod connection;
mod exit;
mod interrupt;
mod ledger;
mod migrate;
mod moog_sim;
mod output;
mod queues;
mod seed;
mod send;
mod stack;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
