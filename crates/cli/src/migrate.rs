//! `mutt migrate`: brings the database's schema up to date, alone and before any service starts.

use std::process::ExitCode;

use anyhow::Context as _;
use mutt_core::db;
use serde_json::json;

use crate::connection::{DatabaseArgs, SettingsArgs};
use crate::output::Output;

const EXAMPLES: &str = "\
Services do the same at their start unless DB_AUTO_MIGRATE=false; any number may do it at once.

Examples:
  mutt migrate
  mutt migrate --database postgres://mutt:password@db1/mutt_db
  mutt migrate --check || echo 'not up to date'";

/// Bring the database's schema up to date.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Change nothing; end with 1 when something is missing.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// # Errors
/// When the database cannot be reached or refuses a migration.
pub(crate) async fn run(args: Args, out: Output) -> anyhow::Result<ExitCode> {
    let pool = args.database.connect(&args.settings).await?;
    if args.check {
        return match db::check_schema(&pool).await {
            Ok(()) => say(out, "the schema is up to date", true),
            Err(db::DbError::SchemaBehind { missing }) => {
                say(out, &format!("{missing} migrations are missing"), false)
            }
            Err(error) => Err(error).context("checking the schema"),
        };
    }
    db::migrate(&pool).await.context("migrating")?;
    say(out, "the schema is up to date", true)
}

fn say(out: Output, words: &str, up_to_date: bool) -> anyhow::Result<ExitCode> {
    out.result(&json!({ "up_to_date": up_to_date, "message": words }), |_| words.to_owned())?;
    Ok(if up_to_date { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
