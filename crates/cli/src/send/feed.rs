//! Hands out numbered events to the connections, at the wanted pace.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mutt_core::domain::clock::{Clock, SystemClock};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::draft::Draft;
use super::generate::Generator;

/// No connection takes more than this share of a second at once, so that a slow pace stays even.
const STRIDE: f64 = 0.02;

/// Where events come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Made up, without end.
    Generator(Generator),
    /// From a file, again and again; never empty.
    File(Vec<Draft>),
}

/// What is to be done to each event on its way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changes {
    /// Adds the reference to the text.
    pub(crate) mark: bool,
    /// Lets the event happen now.
    pub(crate) restamp: bool,
}

/// An event with its place in the run.
#[derive(Debug, Clone)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) draft: Draft,
}

/// All events of one run; shared by its connections.
#[derive(Debug)]
pub(crate) struct Feed {
    source: Source,
    changes: Changes,
    total: u64,
    /// Names the run in references and idempotency keys.
    run: String,
    next: AtomicU64,
    /// Events per second; `None` as fast as it goes.
    rate: Option<f64>,
    start: Instant,
    stop: CancellationToken,
}

impl Feed {
    /// Starts the clock: event n is due n/rate seconds from now.
    pub(crate) fn new(
        source: Source,
        changes: Changes,
        total: u64,
        rate: Option<f64>,
        run: String,
        stop: CancellationToken,
    ) -> Self {
        Self { source, changes, total, run, next: AtomicU64::new(0), rate, start: Instant::now(), stop }
    }

    /// How many events the run has.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The run's name.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// What names one event of the run wherever it shows up: `<run>/<number>`.
    pub(crate) fn reference(&self, number: u64) -> String {
        format!("{}/{number}", self.run)
    }

    /// Cancelled when the user wants no more.
    pub(crate) fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    /// The next events, at most `most`, once they are due; `None` at the end of the run or when it was stopped.
    pub(crate) async fn take(&self, most: usize) -> Option<Vec<Numbered>> {
        let most = most.min(self.rate.map_or(usize::MAX, stride));
        let wanted = u64::try_from(most).unwrap_or(u64::MAX);
        let first = self.next.fetch_add(wanted, Ordering::Relaxed);
        let end = first.saturating_add(wanted).min(self.total);
        if first >= end || self.stop.is_cancelled() {
            return None;
        }
        if let Some(rate) = self.rate {
            #[expect(clippy::cast_precision_loss, reason = "a run of 2^52 events would take lifetimes")]
            let due = self.start + Duration::from_secs_f64(first as f64 / rate);
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.stop.cancelled() => return None,
            }
        }
        let now = SystemClock.now();
        Some((first..end).map(|number| Numbered { number, draft: self.draft(number, now) }).collect())
    }

    fn draft(&self, number: u64, now: DateTime<Utc>) -> Draft {
        let mut draft = match &self.source {
            Source::Generator(generator) => generator.event(number),
            Source::File(drafts) => {
                let length = u64::try_from(drafts.len()).unwrap_or(1).max(1);
                let index = usize::try_from(number % length).unwrap_or(0);
                drafts.get(index).cloned().unwrap_or_default()
            }
        };
        if self.changes.restamp {
            draft.restamp(now);
        }
        if self.changes.mark {
            draft.mark(&self.reference(number));
        }
        draft
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded up, at least 1, and small"
)]
fn stride(rate: f64) -> usize {
    (rate * STRIDE).ceil().max(1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(total: u64, rate: Option<f64>) -> Feed {
        let drafts = ["a", "b", "c"].map(|message| Draft { message: message.into(), ..Draft::default() });
        let changes = Changes { mark: true, restamp: false };
        Feed::new(Source::File(drafts.to_vec()), changes, total, rate, "run".into(), CancellationToken::new())
    }

    #[tokio::test]
    async fn a_file_is_repeated_until_the_count_is_reached() {
        let feed = feed(5, None);
        let mut all = feed.take(3).await.unwrap();
        all.extend(feed.take(3).await.unwrap());
        assert!(feed.take(3).await.is_none());
        let messages: Vec<_> = all.iter().map(|event| event.draft.message.as_str()).collect();
        assert_eq!(messages, ["a ref=run/0", "b ref=run/1", "c ref=run/2", "a ref=run/3", "b ref=run/4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_kept() {
        let feed = feed(1000, Some(100.0));
        let began = Instant::now();
        while feed.take(500).await.is_some() {}
        let took = began.elapsed().as_secs_f64();
        assert!((9.9..10.1).contains(&took), "took {took} s");
    }

    #[tokio::test]
    async fn a_stop_ends_a_wait() {
        let feed = feed(10, Some(0.001));
        assert!(feed.take(1).await.is_some());
        feed.stopped().cancel();
        assert!(feed.take(1).await.is_none());
    }
}
