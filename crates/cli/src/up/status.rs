//! One calm line about the running stack: moving in place on a terminal, now and then in a log.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mutt_core::queue::ledger::{self, Ledger, StageBalance};
use mutt_core::redis::keys::Pipeline;
use redis::aio::ConnectionManager;
use serde::Serialize;

use crate::connection;
use crate::output::{Output, thousands};

/// A person sees it move; a log is not filled.
const LIVELY_PERIOD: Duration = Duration::from_secs(1);
const PLAIN_PERIOD: Duration = Duration::from_secs(30);
/// A Redis that does not answer must not hold up Ctrl-C.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The figures of the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    events_in: i64,
    audited: i64,
    alerts_delivered: i64,
    ingest_queue: i64,
    alert_queue: i64,
    dead_letters: i64,
    imbalance: i64,
}

impl Figures {
    fn of(ledger: &Ledger) -> Self {
        let count = |stage: &str, name: &str| ledger.stage(stage).map_or(0, |stage| stage.count(name));
        let held = |stage: &str| {
            ledger
                .stage(stage)
                .map_or(0, |StageBalance { waiting, in_flight, delayed, .. }| waiting + in_flight + delayed)
        };
        Self {
            events_in: count("alerter", "in") + count("alerter", "foreign"),
            audited: count("alerter", "handled") + count("alerter", "unhandled"),
            alerts_delivered: count("moog", "delivered"),
            ingest_queue: held("alerter"),
            alert_queue: held("moog"),
            dead_letters: held("dlq_alerter") + held("dlq_moog") + held("dead"),
            imbalance: ledger.imbalance(),
        }
    }

    fn text(&self) -> String {
        let number = |n: i64| thousands(u64::try_from(n).unwrap_or(0));
        let balance = match self.imbalance {
            0 => "ledger balanced".to_owned(),
            off => format!("LEDGER OFF BY {off}"),
        };
        format!(
            "{} events in, {} audited, {} alerts delivered | waiting: {} events, {} alerts | {} dead letters | {balance}",
            number(self.events_in),
            number(self.audited),
            number(self.alerts_delivered),
            number(self.ingest_queue),
            number(self.alert_queue),
            number(self.dead_letters),
        )
    }
}

/// The line and where its figures come from.
pub(crate) struct Status {
    redis: ConnectionManager,
    bar: ProgressBar,
    out: Output,
    last: Option<Figures>,
}

impl Status {
    /// # Errors
    /// When Redis does not answer.
    pub(crate) async fn new(redis_url: &str, out: Output) -> anyhow::Result<Self> {
        let redis = connection::connect_redis(redis_url).await?;
        let bar = if out.is_lively() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_draw_target(if out.is_lively() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        bar.set_style(ProgressStyle::with_template("{wide_msg}").context("the status line's template")?);
        Ok(Self { redis, bar, out, last: None })
    }

    /// How often the line wants new figures.
    pub(crate) fn period(&self) -> Duration {
        if self.out.is_lively() { LIVELY_PERIOD } else { PLAIN_PERIOD }
    }

    /// Reads the figures and shows them; a Redis that is away shows as such.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) async fn show(&mut self) -> anyhow::Result<()> {
        let pipeline = Pipeline::default();
        let read = ledger::read(&mut self.redis, &pipeline);
        let Ok(Ok(ledger)) = tokio::time::timeout(ANSWER_LIMIT, read).await else {
            self.bar.set_message("Redis does not answer");
            return Ok(());
        };
        let figures = Figures::of(&ledger);
        if self.out.is_lively() {
            self.bar.set_message(figures.text());
        } else if self.out.is_json() || self.last.as_ref() != Some(&figures) {
            // A quiet stack does not repeat itself in a log.
            self.out.result(&figures, Figures::text)?;
        }
        self.last = Some(figures);
        Ok(())
    }

    /// Writes a line above the status line.
    pub(crate) fn note(&self, line: &str) {
        self.bar.suspend(|| self.out.note(line));
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, outcomes: &[(&str, i64)], waiting: i64) -> StageBalance {
        let counters =
            |counts: &[(&str, i64)]| counts.iter().map(|&(word, n)| (word.to_owned(), n)).collect();
        let out: i64 = outcomes.iter().map(|(_, n)| n).sum();
        StageBalance {
            stage: name.into(),
            taken_in: counters(&[("in", out + waiting)]),
            outcomes: counters(outcomes),
            waiting,
            in_flight: 0,
            delayed: 0,
            imbalance: 0,
        }
    }

    #[test]
    fn the_line_says_where_everything_is() {
        let ledger = Ledger {
            stages: vec![
                stage("alerter", &[("handled", 1500), ("unhandled", 2)], 7),
                stage("moog", &[("delivered", 40)], 1),
                stage("dlq_alerter", &[], 3),
            ],
        };
        assert_eq!(
            Figures::of(&ledger).text(),
            "1,509 events in, 1,502 audited, 40 alerts delivered | waiting: 7 events, 1 alerts | 3 dead letters | ledger balanced"
        );
    }
}
