//! `mutt ledger`: proof, read in one atomic step, that every event taken in is accounted for.

use std::process::ExitCode;

use anyhow::Context as _;
use mutt_core::queue::ledger::{self, Ledger, StageBalance};

use crate::connection::{RedisArgs, SettingsArgs};
use crate::output::{Output, table};

const EXAMPLES: &str = "\
Each stage must satisfy: taken in = outcomes + waiting + in flight + to retry. The exit code is 1 when one does not.

Examples:
  mutt ledger
  mutt ledger --json | jq '.stages[] | select(.imbalance != 0)'";

/// Prove that no event was lost: compare what came in with what came out and what is held.
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
    let ledger = ledger::read(&mut redis.connection, &redis.pipeline).await.context("reading the ledger")?;
    out.result(&ledger, text)?;
    Ok(if ledger.imbalance() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(ledger: &Ledger) -> String {
    let rows: Vec<Vec<String>> = ledger.stages.iter().map(row).collect();
    let header =
        ["stage", "taken in", "outcomes", "waiting", "in flight", "to retry", "balance", "outcomes by kind"];
    let verdict = match ledger.imbalance() {
        0 => "Every event is accounted for.".to_owned(),
        1.. => "EVENTS ARE MISSING: some were taken in and are nowhere now.".to_owned(),
        _ => "EVENTS ARE DOUBLED: more came out than was taken in.".to_owned(),
    };
    format!("{}\n\n{verdict}", table(&header, &rows))
}

fn row(stage: &StageBalance) -> Vec<String> {
    let sum = |counters: &[(String, i64)]| counters.iter().map(|(_, count)| count).sum::<i64>();
    let kinds: Vec<String> =
        stage.outcomes.iter().filter(|(_, n)| *n != 0).map(|(kind, n)| format!("{n} {kind}")).collect();
    vec![
        stage.stage.clone(),
        sum(&stage.taken_in).to_string(),
        sum(&stage.outcomes).to_string(),
        stage.waiting.to_string(),
        stage.in_flight.to_string(),
        stage.delayed.to_string(),
        stage.imbalance.to_string(),
        kinds.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_event_is_called_missing() {
        let stage = StageBalance {
            stage: "alerter".into(),
            taken_in: vec![("in".into(), 5)],
            outcomes: vec![("handled".into(), 3), ("unhandled".into(), 0)],
            waiting: 1,
            in_flight: 0,
            delayed: 0,
            imbalance: 1,
        };
        let text = text(&Ledger { stages: vec![stage] });
        assert!(text.contains("EVENTS ARE MISSING"), "{text}");
        assert!(text.contains("3 handled") && !text.contains("0 unhandled"), "{text}");
    }
}
