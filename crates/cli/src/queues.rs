//! `mutt queues`: what waits where, and since when.

use std::process::ExitCode;

use anyhow::Context as _;
use mutt_core::domain::clock::{Clock, SystemClock};
use mutt_core::queue::depth::{self, Depths};

use crate::connection::{RedisArgs, SettingsArgs};
use crate::output::{Output, table, thousands};

const EXAMPLES: &str = "\
Examples:
  mutt queues
  mutt queues --redis redis://:password@db1:6379/ --json";

/// Show what waits on each queue.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// # Errors
/// When Redis cannot be reached.
pub(crate) async fn run(args: Args, out: Output) -> anyhow::Result<ExitCode> {
    let mut redis = args.redis.connect(&args.settings).await?;
    let depths = depth::sample(&mut redis.connection, &redis.pipeline, SystemClock.now())
        .await
        .context("reading the queues")?;
    out.result(&depths, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(depths: &Depths) -> String {
    let mut rows: Vec<Vec<String>> = depths
        .stages
        .iter()
        .map(|stage| {
            let oldest = stage.oldest_age_secs.map_or_else(|| "-".to_owned(), |age| format!("{age:.1}"));
            vec![
                stage.queue.clone(),
                thousands(stage.waiting),
                thousands(stage.delayed),
                oldest,
                thousands(stage.lanes),
            ]
        })
        .collect();
    let dead = mutt_core::redis::keys::DLQ_DEAD.to_owned();
    rows.push(vec![dead, thousands(depths.dead), "-".into(), "-".into(), "-".into()]);
    table(&["queue", "waiting", "to retry", "oldest s", "workers"], &rows)
}
