//! `mutt seed`: the original's demo rules, hosts and teams, for trying things out.

use std::process::ExitCode;

use anyhow::Context as _;
use mutt_core::db::seed::{self, Seeded};

use crate::connection::{DatabaseArgs, SettingsArgs};
use crate::output::Output;

const EXAMPLES: &str = "\
What is there already stays as it is, so it may be run again. Never needed in production.

Examples:
  mutt seed
  mutt seed --database postgres://mutt:password@db1/mutt_db --json";

/// Add demo rules, development hosts and teams.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// # Errors
/// When the database cannot be reached or has no schema yet.
pub(crate) async fn run(args: Args, out: Output) -> anyhow::Result<ExitCode> {
    let pool = args.database.connect(&args.settings).await?;
    let seeded = seed::demo(&pool)
        .await
        .context("adding the demo data (does the schema exist? see `mutt migrate`)")?;
    out.result(&seeded, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(seeded: &Seeded) -> String {
    let Seeded { rules, hosts, teams } = seeded;
    format!("added {rules} rules, {hosts} development hosts and {teams} teams; the rest was there")
}
