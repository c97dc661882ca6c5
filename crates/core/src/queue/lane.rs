//! One lane's life: register, take, work, finish, and what to do when Redis says otherwise.
//!
//! A call that got no answer is sent again with the same sequence number, without limit: the scripts make that harmless.
//! Nothing here ever decides that a batch is done other than by a completion that Redis applied.

use std::{future::Future, sync::Arc, time::Duration};

use ::redis::{Pipeline, RedisError, RedisResult, Value, aio::ConnectionManager};
use rand::Rng as _;
use tracing::{error, info, warn};

use super::{
    Batch, Delivery, Gate, LaneSettings, LeaseView, Settlement, Worked, Worker,
    doorbell::Doorbell,
    lease::{Heartbeat, LaneState},
};
use crate::redis::{
    keys::StageKeys,
    scripts::{self, Claimed, Completed},
};

/// Longest nap of an idle lane: a lost doorbell costs at most this much latency.
const IDLE_LIMIT: Duration = Duration::from_secs(2);
/// Longest wait between two tries of a call that Redis did not answer.
const RETRY_LIMIT: Duration = Duration::from_secs(2);

/// What the lanes of one stage in one process share.
pub(super) struct Shared<W> {
    pub(super) keys: Arc<StageKeys>,
    pub(super) settings: LaneSettings,
    pub(super) worker: Arc<W>,
    pub(super) conn: ConnectionManager,
    pub(super) bell: Doorbell,
    pub(super) beats: Arc<Heartbeat>,
    pub(super) stop: super::lanes::Stop,
}

/// What a step leaves in hand.
enum Next {
    Work(Batch),
    Idle,
    Stop,
}

pub(super) struct Lane<W> {
    shared: Arc<Shared<W>>,
    number: usize,
    state: Arc<LaneState>,
    conn: ConnectionManager,
    seq: u64,
}

impl<W: Worker> Lane<W> {
    pub(super) fn new(shared: Arc<Shared<W>>, number: usize) -> Self {
        let state = Arc::new(LaneState::new(new_wid(&shared.settings.pod_name, number)));
        let conn = shared.conn.clone();
        shared.beats.follow(&state, None);
        Self { shared, number, state, conn, seq: 0 }
    }

    /// Takes and works until asked to stop; then finishes what it holds, or gives it back when told to hurry.
    pub(super) async fn run(mut self) {
        if !self.register().await {
            return;
        }
        let mut next = Next::Idle;
        loop {
            next = match next {
                Next::Stop => break,
                Next::Idle => self.take().await,
                Next::Work(batch) => self.serve(batch).await,
            };
        }
        self.leave().await;
    }

    /// Registers under a new id; `false` when told to hurry before Redis answered.
    async fn register(&mut self) -> bool {
        let lease_ms = self.shared.settings.lease_ms();
        let (keys, wid) = (Arc::clone(&self.shared.keys), self.state.wid.clone());
        let conn = self.conn.clone();
        self.until_answered("register", move || {
            let (mut conn, keys, wid) = (conn.clone(), Arc::clone(&keys), wid.clone());
            async move { scripts::register(&mut conn, &keys, &wid, lease_ms).await }
        })
        .await
        .map(|()| self.state.beaten())
        .is_some()
    }

    /// Starts over under a new id, after Redis said that the old one is fenced or unknown.
    async fn start_over(&mut self) -> Next {
        let fresh = Arc::new(LaneState::new(new_wid(&self.shared.settings.pod_name, self.number)));
        self.shared.beats.follow(&fresh, Some(&self.state));
        self.state = fresh;
        self.seq = 0;
        if self.register().await { Next::Idle } else { Next::Stop }
    }

    /// Passes the gate and claims; waits where nothing may or can be taken.
    async fn take(&mut self) -> Next {
        self.state.progress();
        if self.shared.stop.draining() {
            return Next::Stop;
        }
        if let Gate::Wait(pause) = self.shared.worker.gate().await {
            self.shared.stop.pause(pause.min(IDLE_LIMIT)).await;
            return Next::Idle;
        }
        let (keys, limits) = (Arc::clone(&self.shared.keys), self.shared.settings.claim_limits());
        let (wid, seq, conn) = (self.state.wid.clone(), self.seq + 1, self.conn.clone());
        let claimed = self
            .until_answered("claim", move || {
                let (mut conn, keys, wid) = (conn.clone(), Arc::clone(&keys), wid.clone());
                async move { scripts::claim(&mut conn, &keys, &wid, seq, &limits).await }
            })
            .await;
        match claimed {
            Some(claimed) => self.claimed(claimed).await,
            None => Next::Stop,
        }
    }

    async fn claimed(&mut self, claimed: Claimed) -> Next {
        match claimed {
            Claimed::Batch(entries) => {
                self.seq += 1;
                self.state.beaten();
                if entries.is_empty() {
                    return Next::Idle;
                }
                if entries.len() >= self.shared.settings.batch {
                    self.shared.bell.pass_on();
                }
                let deliveries =
                    entries.into_iter().map(|(raw, reclaims)| Delivery::new(raw, reclaims)).collect();
                Next::Work(Batch { deliveries })
            }
            Claimed::Empty { next_due_ms } => {
                let due = next_due_ms.map_or(IDLE_LIMIT, |ms| Duration::from_millis(ms.max(1)));
                tokio::select! {
                    () = self.shared.stop.drain.cancelled() => {}
                    () = self.shared.bell.wait(due.min(IDLE_LIMIT)) => {}
                }
                Next::Idle
            }
            Claimed::Blocked => {
                // Jitter, so that the lanes of many processes do not ask in step.
                let pause = rand::rng().random_range(50..250);
                self.shared.stop.pause(Duration::from_millis(pause)).await;
                Next::Idle
            }
            Claimed::Fenced => {
                warn!(stage = %self.shared.keys.stage, wid = %self.state.wid, "lane was declared dead while idle; registering anew");
                self.start_over().await
            }
            Claimed::Lost => {
                warn!(stage = %self.shared.keys.stage, wid = %self.state.wid, "Redis does not know this lane any more; registering anew");
                self.start_over().await
            }
            Claimed::OutOfStep => {
                error!(stage = %self.shared.keys.stage, wid = %self.state.wid, "lane and Redis disagree about its batch; giving it back");
                self.give_back(true).await;
                self.start_over().await
            }
        }
    }

    /// Works on a batch and finishes it.
    async fn serve(&mut self, batch: Batch) -> Next {
        let lease = LeaseView { state: Arc::clone(&self.state), beats: Arc::clone(&self.shared.beats) };
        let worker = Arc::clone(&self.shared.worker);
        let worked = tokio::select! {
            biased;
            worked = worker.work(&batch, &lease) => worked,
            // Told to hurry: what is unfinished is redelivered, which every effect is built for.
            () = self.shared.stop.abort.cancelled() => return Next::Stop,
        };
        self.state.progress();
        match worked {
            Worked::Settle(settlement) => self.finish(&batch, &settlement).await,
            Worked::GiveBack { pause } => {
                self.give_back(false).await;
                self.shared.stop.pause(pause).await;
                Next::Idle
            }
        }
    }

    /// Completes the batch and, where the gate allows, claims the next in the same round trip.
    async fn finish(&mut self, batch: &Batch, settlement: &Settlement) -> Next {
        let go_on = !self.shared.stop.draining() && self.shared.worker.gate().await == Gate::Open;
        let (keys, settings) = (&self.shared.keys, &self.shared.settings);
        let finish =
            scripts::complete_call(keys, &self.state.wid, self.seq, settings.dedup_window_ms(), settlement);
        let mut pipe = Pipeline::new();
        pipe.invoke_script(&finish);
        if go_on {
            pipe.invoke_script(&scripts::claim_call(
                keys,
                &self.state.wid,
                self.seq + 1,
                &settings.claim_limits(),
            ));
        }
        let (conn, pipe, mut resent) = (self.conn.clone(), Arc::new(pipe), false);
        let answers = self
            .until_answered("complete", || {
                let (mut conn, pipe, load) = (conn.clone(), Arc::clone(&pipe), resent);
                resent = true;
                async move {
                    if load {
                        // A pipeline cannot load scripts by itself; a restarted Redis has none.
                        scripts::load_lane_scripts(&mut conn).await?;
                    }
                    let answers: Vec<Value> = pipe.query_async(&mut conn).await?;
                    let mut answers = answers.into_iter();
                    let completed = scripts::complete_answer(answers.next().unwrap_or(Value::Nil))?;
                    Ok((completed, answers.next().map(scripts::claim_answer).transpose()?))
                }
            })
            .await;
        let Some((completed, claimed)) = answers else { return Next::Stop };
        match completed {
            Completed::Applied => {}
            // Asked twice, and the first call also claimed: the completion was applied before that claim could be.
            Completed::Stale if matches!(claimed, Some(Claimed::Batch(_))) => {}
            Completed::Fenced => {
                warn!(stage = %keys.stage, wid = %self.state.wid, entries = batch.deliveries.len(),
                    "lane was declared dead while it worked; its batch is another's, its results are dropped");
                return self.start_over().await;
            }
            Completed::Lost => {
                self.reinject(batch).await;
                return self.start_over().await;
            }
            Completed::Stale => {
                error!(stage = %keys.stage, wid = %self.state.wid, "completion of a batch that is not the newest");
                return self.start_over().await;
            }
        }
        match claimed {
            Some(claimed) => self.claimed(claimed).await,
            None => Next::Idle,
        }
    }

    /// Redis went back to a time before it knew this lane: what is in hand may be all that is left of these entries.
    async fn reinject(&mut self, batch: &Batch) {
        warn!(stage = %self.shared.keys.stage, wid = %self.state.wid, entries = batch.deliveries.len(),
            "Redis lost this lane and its batch, as after a failover; putting the batch back");
        let (keys, conn) = (Arc::clone(&self.shared.keys), self.conn.clone());
        let _put_back = self
            .until_answered("reinject", || {
                let (mut conn, keys) = (conn.clone(), Arc::clone(&keys));
                async move {
                    let entries: Vec<&[u8]> = batch.deliveries.iter().map(Delivery::bytes).collect();
                    scripts::reinject(&mut conn, &keys, &entries).await
                }
            })
            .await;
    }

    async fn give_back(&mut self, deregister: bool) {
        let (keys, conn) = (Arc::clone(&self.shared.keys), self.conn.clone());
        let (wid, seq) = (self.state.wid.clone(), self.seq);
        let _given_back = self
            .until_answered("release", move || {
                let (mut conn, keys, wid) = (conn.clone(), Arc::clone(&keys), wid.clone());
                async move { scripts::release(&mut conn, &keys, &wid, seq, deregister).await }
            })
            .await;
    }

    /// The last act: what is held goes back, and nobody has to wait for the lease to run out.
    async fn leave(&mut self) {
        let mut conn = self.conn.clone();
        match scripts::release(&mut conn, &self.shared.keys, &self.state.wid, self.seq, true).await {
            Ok(Some(entries)) if entries > 0 => {
                info!(stage = %self.shared.keys.stage, wid = %self.state.wid, entries, "gave unfinished entries back");
            }
            Ok(_) => {}
            Err(error) => {
                warn!(error = %error, stage = %self.shared.keys.stage, wid = %self.state.wid,
                    "could not sign off; the lane's lease runs out and a janitor gives its entries back");
            }
        }
    }

    /// Calls until Redis answers; `None` when told to hurry.
    async fn until_answered<T, F>(&self, what: &'static str, mut call: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut wait = Duration::from_millis(50);
        loop {
            let error: RedisError = tokio::select! {
                answer = call() => match answer {
                    Ok(answer) => return Some(answer),
                    Err(error) => error,
                },
                () = self.shared.stop.abort.cancelled() => return None,
            };
            // Waiting for Redis is not being stuck.
            self.state.progress();
            if error.code() != Some("NOSCRIPT") {
                warn!(error = %error, call = what, stage = %self.shared.keys.stage, wid = %self.state.wid,
                    "no answer from Redis; asking again");
                let pause = wait.mul_f64(rand::rng().random_range(0.5..1.0));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.shared.stop.abort.cancelled() => return None,
                }
                wait = (wait * 2).min(RETRY_LIMIT);
            }
        }
    }
}

/// A lane that ends, even by a panic, must not be vouched for: its batch would never come back.
impl<W> Drop for Lane<W> {
    fn drop(&mut self) {
        self.shared.beats.forget(&self.state);
    }
}

/// Letters of a lane id: base32 without what reads alike, and without the `:` and `.` that separate.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";

/// `<pod>.<boot>.<lane>`: new with each registration, so that nothing an earlier life sent can touch this one.
fn new_wid(pod_name: &str, lane: usize) -> String {
    let boot: String = {
        let mut rng = rand::rng();
        (0..8).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
    };
    format!("{pod_name}.{boot}.{lane}")
}
