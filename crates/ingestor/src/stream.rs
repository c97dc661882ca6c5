//! Group commit of HTTP requests: what arrives while a batch is on its way to Redis goes together in the next one.
//!
//! Each stream has one batch in flight; there is no timer, so a lone request waits for nobody. A request gets its answer
//! only after Redis has its events, all of them or none. While Redis is away one request at a time tries it and all
//! others are answered at once. A sender that was told to repeat may have been stored: that is what idempotency keys
//! are for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mutt_core::{
    domain::{clock::Clock, event::EventId},
    queue::{Enqueued, Enqueuer, Item},
};
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{info, warn};

use crate::cap::QueueCap;

/// Most events in one batch: one script call of this size holds Redis up for about a millisecond.
pub(crate) const MAX_BATCH_EVENTS: usize = 500;
/// Most payload in one batch, unless a single submission is larger.
pub(crate) const MAX_BATCH_BYTES: usize = 1 << 20;
/// Requests that may wait for a stream; more wait in front of it.
const MAX_WAITING: usize = 4096;
/// How long a batch is asked for again before its senders are told to repeat: longer than a failover of Redis
/// behind a healthy network, shorter than what senders wait.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same while Redis is known to be away.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);

/// What became of the events of one call of [`Commit::store`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Redis has all of them.
    Stored {
        /// Entries on the queue.
        depth: u64,
        /// Events that were stored before, by position, with the id they got then.
        repeats: Vec<(usize, EventId)>,
    },
    /// The queue is full; none was stored.
    Full {
        /// Entries on the queue.
        depth: u64,
        /// The cap.
        cap: u64,
    },
    /// Redis does not answer or cannot take more; the sender must repeat.
    Away,
}

/// Hands events to the streams; cheap to clone. The streams end when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    inbox: mpsc::Sender<Submission>,
    state: Arc<State>,
}

#[derive(Debug)]
struct Submission {
    items: Vec<Item>,
    answer: oneshot::Sender<Outcome>,
}

/// What the streams know of Redis together.
#[derive(Debug, Default)]
struct State {
    away: AtomicBool,
    /// Somebody is trying whether it is still away.
    probing: AtomicBool,
}

/// The other end of [`Commit`]: shared by the streams.
#[derive(Debug, Clone)]
pub(crate) struct Submissions {
    inbox: Arc<Mutex<mpsc::Receiver<Submission>>>,
    state: Arc<State>,
}

/// A place to hand events in, and what the streams take them from.
pub(crate) fn channel() -> (Commit, Submissions) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let state = Arc::new(State::default());
    let submissions = Submissions { inbox: Arc::new(Mutex::new(receiver)), state: Arc::clone(&state) };
    (Commit { inbox: sender, state }, submissions)
}

impl Commit {
    /// Stores events and waits until Redis has them.
    ///
    /// Dropping the future takes nothing back: the events may be stored all the same.
    pub(crate) async fn store(&self, items: Vec<Item>) -> Outcome {
        let (answer, verdict) = oneshot::channel();
        let submission = Submission { items, answer };
        let handed_in = if self.is_away() {
            // No waiting between the mark and the hand-over: a mark without a probe would never be taken off.
            !self.state.probing.swap(true, Ordering::AcqRel) && {
                let sent = self.inbox.try_send(submission).is_ok();
                self.state.probing.store(sent, Ordering::Release);
                sent
            }
        } else {
            self.inbox.send(submission).await.is_ok()
        };
        // Not handed in: somebody else is trying already, or the streams have stopped because the process ends.
        if handed_in { verdict.await.unwrap_or(Outcome::Away) } else { Outcome::Away }
    }

    /// Whether the last batch found Redis away.
    pub(crate) fn is_away(&self) -> bool {
        self.state.away.load(Ordering::Relaxed)
    }
}

/// Runs one stream until nobody can hand events in any more and all that were handed in are answered.
pub(crate) async fn run(
    submissions: Submissions,
    mut enqueuer: Enqueuer,
    cap: QueueCap,
    clock: Arc<dyn Clock>,
) {
    let Submissions { inbox, state } = submissions;
    let mut waiting = Vec::new();
    loop {
        // The others queue up behind this lock, and what arrives meanwhile is this stream's next batch.
        if inbox.lock().await.recv_many(&mut waiting, MAX_BATCH_EVENTS).await == 0 {
            return;
        }
        let mut left = waiting.drain(..).peekable();
        while left.peek().is_some() {
            let batch = Batch::gather(&mut left);
            let cap = cap.get();
            let patience = if state.away.load(Ordering::Relaxed) { PROBE_PATIENCE } else { PATIENCE };
            let verdict = enqueuer.enqueue(&batch.items, cap, clock.now(), patience).await;
            let answered = match verdict {
                Ok(Enqueued::Stored { depth, repeats }) => {
                    batch.stored(depth, &repeats);
                    true
                }
                Ok(Enqueued::Full { depth }) => {
                    batch.refused(&Outcome::Full { depth, cap });
                    true
                }
                Err(error) => {
                    if !state.away.load(Ordering::Relaxed) {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            "Redis takes no events; senders are told to repeat"
                        );
                    }
                    batch.refused(&Outcome::Away);
                    false
                }
            };
            state.note(answered);
            if !answered {
                // Those who waited behind would wait as long again, each batch of them.
                for submission in left.by_ref() {
                    submission.refuse(Outcome::Away);
                }
            }
        }
        drop(left);
    }
}

impl State {
    fn note(&self, answered: bool) {
        let was_away = self.away.swap(!answered, Ordering::Relaxed);
        self.probing.store(false, Ordering::Release);
        if was_away && answered {
            info!("Redis takes events again");
        }
    }
}

impl Submission {
    fn refuse(self, outcome: Outcome) {
        // A sender that hung up wants no answer.
        drop(self.answer.send(outcome));
    }

    fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.payload.len()).sum()
    }
}

/// Submissions that go to Redis together.
struct Batch {
    items: Vec<Item>,
    /// How many of the items are whose.
    owners: Vec<(usize, oneshot::Sender<Outcome>)>,
}

impl Batch {
    /// Takes whole submissions up to the limits, but at least one.
    fn gather(left: &mut std::iter::Peekable<impl Iterator<Item = Submission>>) -> Self {
        let mut batch = Self { items: Vec::new(), owners: Vec::new() };
        let mut bytes = 0;
        while let Some(submission) = left.next_if(|next| {
            let fits = batch.items.len() + next.items.len() <= MAX_BATCH_EVENTS
                && bytes + next.bytes() <= MAX_BATCH_BYTES;
            batch.owners.is_empty() || fits
        }) {
            bytes += submission.bytes();
            batch.owners.push((submission.items.len(), submission.answer));
            if batch.items.is_empty() {
                batch.items = submission.items;
            } else {
                batch.items.extend(submission.items);
            }
        }
        batch
    }

    fn stored(self, depth: u64, repeats: &[(usize, EventId)]) {
        let mut start = 0;
        for (count, answer) in self.owners {
            let end = start + count;
            let own = repeats.iter().filter(|(at, _)| (start..end).contains(at));
            let repeats = own.map(|(at, id)| (at - start, *id)).collect();
            drop(answer.send(Outcome::Stored { depth, repeats }));
            start = end;
        }
    }

    fn refused(self, outcome: &Outcome) {
        for (_, answer) in self.owners {
            drop(answer.send(outcome.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;

    fn submission(events: usize, bytes: usize) -> (Submission, oneshot::Receiver<Outcome>) {
        let (answer, verdict) = oneshot::channel();
        let item = Item {
            id: EventId::from(Uuid::nil()),
            payload: Bytes::from(vec![b'x'; bytes]),
            idempotency_key: None,
        };
        (Submission { items: vec![item; events], answer }, verdict)
    }

    fn sizes(submissions: impl IntoIterator<Item = (usize, usize)>) -> Vec<usize> {
        let all: Vec<Submission> =
            submissions.into_iter().map(|(events, bytes)| submission(events, bytes).0).collect();
        let mut left = all.into_iter().peekable();
        let mut sizes = Vec::new();
        while left.peek().is_some() {
            sizes.push(Batch::gather(&mut left).items.len());
        }
        sizes
    }

    #[test]
    fn submissions_share_a_batch_up_to_the_limits_and_are_never_torn() {
        assert_eq!(sizes([(1, 10), (2, 10), (3, 10)]), [6]);
        assert_eq!(sizes([(400, 10), (100, 10), (1, 10)]), [500, 1]);
        assert_eq!(sizes([(400, 10), (101, 10)]), [400, 101]);
        assert_eq!(sizes([(1, 600_000), (1, 600_000), (1, 10)]), [1, 2]);
        assert_eq!(sizes([(9_000, 10), (1, 10)]), [9_000, 1]);
    }

    #[test]
    fn each_sender_hears_of_its_own_repeats_by_its_own_positions() {
        let first = EventId::from(Uuid::max());
        let (submissions, verdicts): (Vec<_>, Vec<_>) =
            [2, 3, 1].map(|events| submission(events, 1)).into_iter().unzip();
        Batch::gather(&mut submissions.into_iter().peekable())
            .stored(7, &[(1, first), (4, first), (5, first)]);
        let repeats: Vec<_> = verdicts
            .into_iter()
            .map(|mut verdict| match verdict.try_recv().unwrap() {
                Outcome::Stored { depth: 7, repeats } => {
                    repeats.into_iter().map(|(at, _)| at).collect::<Vec<_>>()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(repeats, [vec![1], vec![2], vec![0]]);
    }

    #[tokio::test]
    async fn while_redis_is_away_one_at_a_time_tries_it() {
        let (commit, submissions) = channel();
        commit.state.away.store(true, Ordering::Relaxed);
        let probe = commit.clone();
        let probe = async move { probe.store(submission(1, 1).0.items).await };
        tokio::pin!(probe);
        assert!(futures_util::poll!(&mut probe).is_pending());
        assert_eq!(commit.store(submission(1, 1).0.items).await, Outcome::Away);
        let mut inbox = submissions.inbox.lock().await;
        inbox.recv().await.unwrap().refuse(Outcome::Away);
        assert!(inbox.try_recv().is_err());
        assert_eq!(probe.await, Outcome::Away);
        submissions.state.note(true);
        assert!(!commit.is_away());
    }
}
