//! One value that every task of a process shares: when to stop, and who has not stopped yet.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use super::exit::Exit;
use crate::telemetry::report;

/// After the grace, tasks that obey [`Lifecycle::aborting`] get this long to hand back what they hold.
const ABORT_GRACE: Duration = Duration::from_secs(3);

/// The life of a process, shared by its tasks; a clone is the same life.
///
/// *Draining* means: take nothing new, finish what is in hand. *Aborting* means: drop it. Draining becomes aborting at a
/// second signal or after the grace. A task that must not end and does, starts the drain and makes the exit code 1.
///
/// ```
/// use mutt_core::runtime::{Exit, Lifecycle};
///
/// # tokio_test(async {
/// let lifecycle = Lifecycle::for_tests();
/// let draining = lifecycle.draining();
/// lifecycle.spawn_critical("listener", async move {
///     draining.cancelled().await; // returns Ok only because it was asked to
///     Ok(())
/// });
/// lifecycle.drain("SIGTERM");
/// assert_eq!(lifecycle.wait().await, Exit::Clean);
/// # });
/// # fn tokio_test(test: impl Future<Output = ()>) {
/// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Lifecycle {
    life: Arc<Life>,
}

#[derive(Debug)]
struct Life {
    drain: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    reload: watch::Sender<u64>,
    /// The critical task that ended first without being asked to.
    failed: OnceLock<&'static str>,
    /// When the drain began; the grace counts from here.
    drained: OnceLock<Instant>,
    grace: Duration,
}

impl Lifecycle {
    /// A life that ends at most `grace`, and a moment for dropping, after it was asked to.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        let life = Life {
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
            reload: watch::Sender::new(0),
            failed: OnceLock::new(),
            drained: OnceLock::new(),
            grace,
        };
        Self { life: Arc::new(life) }
    }

    /// A life with a grace of five seconds and no signals.
    #[must_use]
    pub fn for_tests() -> Self {
        Self::new(Duration::from_secs(5))
    }

    /// Is cancelled when nothing new may be taken. A token, not a child: do not cancel it, call [`Lifecycle::drain`].
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.life.drain.clone()
    }

    /// Is cancelled when what is in hand must be dropped; never before [`Lifecycle::draining`].
    #[must_use]
    pub fn aborting(&self) -> CancellationToken {
        self.life.abort.clone()
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.life.drain.is_cancelled()
    }

    /// Begins the drain; `why` goes to the log. Again is nothing.
    pub fn drain(&self, why: &str) {
        if !self.is_draining() {
            info!(reason = why, grace_secs = self.life.grace.as_secs(), "draining: {why}");
            self.begin_drain();
        }
    }

    /// Drops what is in hand, draining first if that has not begun.
    pub fn abort(&self, why: &str) {
        if !self.life.abort.is_cancelled() {
            warn!(reason = why, "dropping what is unfinished: {why}");
            self.begin_drain();
            self.life.abort.cancel();
        }
    }

    /// Tells those who asked for it to read rules, secrets and certificates again.
    pub fn reload(&self) {
        self.life.reload.send_modify(|count| *count += 1);
    }

    /// `changed()` waits for the next [`Lifecycle::reload`]; several that come fast are seen as one.
    #[must_use]
    pub fn on_reload(&self) -> watch::Receiver<u64> {
        self.life.reload.subscribe()
    }

    /// Runs `task` as one that the process cannot live without.
    ///
    /// If it returns or panics before a drain was asked for, or fails at any time, the drain starts and the exit code is
    /// 1: a worker that died quietly is worse than a restart. It is dropped a moment after [`Lifecycle::aborting`].
    pub fn spawn_critical<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let lifecycle = self.clone();
        self.life.tasks.spawn(async move {
            let ended = lifecycle.until_dropped(name, task).await;
            let good = match ended {
                Ended::Dropped => true,
                Ended::Panicked => false,
                Ended::Returned(Ok(())) if lifecycle.is_draining() => true,
                Ended::Returned(Ok(())) => {
                    error!(task.name = name, "critical task `{name}` ended although nobody asked it to");
                    false
                }
                Ended::Returned(Err(error)) => {
                    error!(task.name = name, error = report(&*error), "critical task `{name}` failed");
                    false
                }
            };
            if !good {
                lifecycle.fail(name);
            }
        });
    }

    /// Runs `task` until it ends or the life does. Its end matters to nobody; a panic is logged.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let lifecycle = self.clone();
        self.life.tasks.spawn(async move {
            let _ended = lifecycle.until_dropped(name, task).await;
        })
    }

    /// Runs `work` now and then each `period`, until the drain.
    ///
    /// A run that takes longer than `period` delays the next; runs never overlap. A panic is logged, the next run comes.
    pub fn spawn_periodic<W, F>(&self, name: &'static str, period: Duration, mut work: W)
    where
        W: FnMut() -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let lifecycle = self.clone();
        self.life.tasks.spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    () = lifecycle.life.drain.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                if matches!(lifecycle.until_dropped(name, work()).await, Ended::Dropped) {
                    return;
                }
            }
        });
    }

    /// Waits until every task has ended, however that comes about, and says how the process should exit.
    ///
    /// Begins to count the grace when the drain begins. Returns at the latest a moment after [`Lifecycle::aborting`].
    pub async fn wait(&self) -> Exit {
        let life = &self.life;
        life.tasks.close();
        tokio::select! {
            biased;
            () = life.tasks.wait() => {}
            () = self.out_of_patience() => {
                warn!(tasks = life.tasks.len(), "leaving tasks behind that do not stop");
            }
        }
        match life.failed.get() {
            None => Exit::Clean,
            Some(_) => Exit::Crash,
        }
    }

    /// From the drain to the end of patience: escalates, then leaves time to hand back.
    pub(super) async fn out_of_patience(&self) {
        self.life.drain.cancelled().await;
        let drained = *self.life.drained.get_or_init(Instant::now);
        tokio::select! {
            () = self.life.abort.cancelled() => {}
            () = tokio::time::sleep_until(drained + self.life.grace) => self.abort("the grace is over"),
        }
        // The tasks drop themselves a moment earlier; only one that blocks its thread is still there.
        tokio::time::sleep(ABORT_GRACE + Duration::from_secs(1)).await;
    }

    fn begin_drain(&self) {
        self.life.drained.get_or_init(Instant::now);
        self.life.drain.cancel();
    }

    fn fail(&self, name: &'static str) {
        self.life.failed.get_or_init(|| name);
        self.drain(&format!("critical task `{name}` is gone"));
    }

    async fn until_dropped<T>(&self, name: &'static str, task: impl Future<Output = T> + Send) -> Ended<T> {
        let too_late = async {
            self.life.abort.cancelled().await;
            tokio::time::sleep(ABORT_GRACE).await;
        };
        tokio::select! {
            biased;
            ended = AssertUnwindSafe(task).catch_unwind() => match ended {
                Ok(returned) => Ended::Returned(returned),
                Err(_panic) => {
                    // The panic hook has logged message and place.
                    error!(task.name = name, "task `{name}` panicked");
                    Ended::Panicked
                }
            },
            () = too_late => {
                warn!(task.name = name, "task `{name}` was dropped unfinished");
                Ended::Dropped
            }
        }
    }
}

enum Ended<T> {
    Returned(T),
    Panicked,
    Dropped,
}

#[cfg(test)]
mod tests;
