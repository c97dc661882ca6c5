//! A circuit breaker that all processes share: `lua/breaker.lua`.
//!
//! Closed lets traffic flow; open refuses it for a while that doubles with each failed probe; half open lets exactly
//! one caller probe. A verdict carries the epoch in which its request began, so that news from before the last trip
//! changes nothing. While closed it costs a look every 100 ms, not a round trip per request. It must never
//! let two probes go, and a prober that dies must never keep the slot.

mod known;
mod state;

use std::{
    fmt,
    sync::{
        LazyLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ::redis::{AsyncCommands as _, RedisResult, Script, aio::ConnectionLike};
use tokio::{sync::Mutex, time::Instant};

use self::known::Known;
pub use self::state::State;

#[expect(clippy::disallowed_methods, reason = "the one place that loads this script")]
static BREAKER: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../../lua/breaker.lua")));

/// Successes only matter when failures were counted, and then one report in this time does.
const SUCCESS_REPORT: Duration = Duration::from_millis(200);

/// When it opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Consecutive failures that open it, at least 1.
    pub threshold: u32,
    /// How long it stays open the first time; doubled by each failed probe.
    pub open_min: Duration,
    /// How long it stays open at most.
    pub open_max: Duration,
    /// After this a probe without a verdict counts as dead. Longer than a request may take.
    pub probe_slot: Duration,
}

/// Permission to send one request; hand it back with the verdict.
#[derive(Debug)]
#[must_use]
pub struct Pass {
    epoch: u64,
    probe: Option<String>,
}

impl Pass {
    /// Whether this request is the one probe of a half-open breaker.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

/// Answer of [`Breaker::admit`].
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// Send, then report.
    Go(Pass),
    /// Do not send; ask again after this long.
    Wait(Duration),
}

/// Answer of [`Breaker::look`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Look {
    /// Closed.
    Flowing,
    /// The time is up and nobody probes: whoever is admitted first will.
    ProbeFree,
    /// Open, or a probe is out; look again after this long.
    Wait(Duration),
}

/// What became of a reported failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Failure {
    /// The breaker was closed at the start and still is: the failure is the message's own, as far as anyone can tell.
    StillClosed,
    /// It is open, by this failure or since before: the failure belongs to the outage.
    Outage,
}

/// Told of each change of state that a call of this process made.
pub type OnChange = Box<dyn Fn(State, State) + Send + Sync>;

/// A shared breaker; see the module.
pub struct Breaker<C> {
    conn: C,
    keys: [String; 6],
    settings: RwLock<BreakerSettings>,
    on_change: OnChange,
    known: Mutex<Known>,
    /// Whether a success came since the last reported failure; failures only add up when they are consecutive.
    succeeded: AtomicBool,
    failures: AtomicU64,
    reported: std::sync::Mutex<Option<Instant>>,
}

impl<C> fmt::Debug for Breaker<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One answer of the script.
struct Reply {
    word: String,
    epoch: u64,
    wait: Duration,
    state: State,
    failures: u64,
}

impl<C: ConnectionLike + Clone + Send + Sync> Breaker<C> {
    /// A breaker over `prefix:state` and its siblings (`mutt:circuit_breaker:moogsoft`).
    pub fn new(conn: C, prefix: &str, settings: BreakerSettings, on_change: OnChange) -> Self {
        let key = |name: &str| format!("{prefix}:{name}");
        Self {
            conn,
            keys: ["state", "failures", "open_time", "probe", "epoch", "backoff"].map(key),
            settings: RwLock::new(settings),
            on_change,
            known: Mutex::new(Known::default()),
            succeeded: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            reported: std::sync::Mutex::new(None),
        }
    }

    /// Changes when it opens and for how long, for all later calls of this process.
    pub fn set_settings(&self, settings: BreakerSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    fn settings(&self) -> BreakerSettings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to send one request now.
    ///
    /// # Errors
    /// The Redis error. Nothing may be sent then; ask again.
    pub async fn admit(&self) -> RedisResult<Admission> {
        let mut known = self.known.lock().await;
        if let Some(answer) = known.answer(Instant::now()) {
            return Ok(answer);
        }
        let token = uuid::Uuid::new_v4().simple().to_string();
        let reply = self.call("admit", &token, 0, false).await?;
        let now = Instant::now();
        Ok(match reply.word.as_str() {
            "GO" => {
                known.closed(reply.epoch, now);
                Admission::Go(Pass { epoch: reply.epoch, probe: None })
            }
            "PROBE" => {
                // The others of this process wait for the verdict like everybody else.
                known.open(reply.epoch, self.settings().probe_slot, now);
                Admission::Go(Pass { epoch: reply.epoch, probe: Some(token) })
            }
            _ => {
                known.open(reply.epoch, reply.wait, now);
                Admission::Wait(reply.wait)
            }
        })
    }

    /// Looks without taking the probe slot.
    ///
    /// # Errors
    /// The Redis error; nothing should be taken from the queue then.
    pub async fn look(&self) -> RedisResult<Look> {
        let mut known = self.known.lock().await;
        let now = Instant::now();
        match known.answer(now) {
            Some(Admission::Go(_)) => return Ok(Look::Flowing),
            Some(Admission::Wait(wait)) => return Ok(Look::Wait(wait)),
            None => {}
        }
        let reply = self.call("look", "", 0, false).await?;
        Ok(match reply.word.as_str() {
            "GO" => {
                known.closed(reply.epoch, Instant::now());
                Look::Flowing
            }
            "FREE" => Look::ProbeFree,
            _ => {
                known.open(reply.epoch, reply.wait, Instant::now());
                Look::Wait(reply.wait)
            }
        })
    }

    /// Reports that the request was answered as it should be.
    ///
    /// # Errors
    /// The Redis error; only a probe's success matters enough to report it again.
    pub async fn succeeded(&self, pass: &Pass) -> RedisResult<()> {
        self.succeeded.store(true, Ordering::Relaxed);
        if pass.is_probe() {
            let reply = self.call("ok", pass.token(), pass.epoch, false).await?;
            if reply.state == State::Closed {
                self.known.lock().await.closed(reply.epoch, Instant::now());
            }
        } else if self.failures.load(Ordering::Relaxed) > 0 && self.is_report_due() {
            self.call("ok", "", pass.epoch, false).await?;
        }
        Ok(())
    }

    /// Reports that the request failed in a way that says something about the receiver.
    ///
    /// # Errors
    /// The Redis error; the failure is then not counted, and must not be charged to the message either.
    pub async fn failed(&self, pass: &Pass) -> RedisResult<Failure> {
        let had_success = self.succeeded.swap(false, Ordering::Relaxed);
        self.verdict("fail", pass, had_success).await
    }

    /// Opens the breaker at once: the receiver cannot be reached as configured, whatever is sent.
    ///
    /// # Errors
    /// The Redis error; the others then find out for themselves.
    pub async fn trip(&self, pass: &Pass) -> RedisResult<()> {
        self.verdict("trip", pass, false).await.map(|_outage| ())
    }

    /// Gives the pass back unused; the next caller may probe.
    ///
    /// # Errors
    /// The Redis error; the slot then frees itself after [`BreakerSettings::probe_slot`].
    pub async fn give_back(&self, pass: &Pass) -> RedisResult<()> {
        if pass.is_probe() {
            self.call("yield", pass.token(), pass.epoch, false).await?;
            self.known.lock().await.until = None;
        }
        Ok(())
    }

    /// Lets a probe go at once if it is open: what kept it open was just changed, such as a key.
    ///
    /// # Errors
    /// The Redis error; the probe then goes when the time is up.
    pub async fn hurry(&self) -> RedisResult<()> {
        let [_state, _failures, open_time, _probe, _epoch, backoff] = &self.keys;
        // The script takes a missing time for a past one. While closed neither key exists.
        let () = self.conn.clone().del(&[open_time, backoff]).await?;
        self.known.lock().await.until = None;
        Ok(())
    }

    /// State and counted failures, for the gauges.
    ///
    /// # Errors
    /// The Redis error.
    pub async fn read(&self) -> RedisResult<(State, u64)> {
        let reply = self.call("look", "", 0, false).await?;
        Ok((reply.state, reply.failures))
    }

    async fn verdict(&self, op: &str, pass: &Pass, had_success: bool) -> RedisResult<Failure> {
        let reply = self.call(op, pass.token(), pass.epoch, had_success).await?;
        if reply.word == "COUNTED" {
            return Ok(Failure::StillClosed);
        }
        let mut known = self.known.lock().await;
        if reply.state == State::Closed {
            // An old failure that arrives after the breaker closed again.
            known.until = None;
        } else {
            known.open(reply.epoch, self.settings().open_min, Instant::now());
        }
        Ok(Failure::Outage)
    }

    fn is_report_due(&self) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = reported.is_none_or(|at| now - at >= SUCCESS_REPORT);
        if due {
            *reported = Some(now);
        }
        due
    }

    async fn call(&self, op: &str, token: &str, epoch: u64, had_success: bool) -> RedisResult<Reply> {
        let settings = self.settings();
        let mut call = BREAKER.prepare_invoke();
        for key in &self.keys {
            call.key(key);
        }
        call.arg(op).arg(token).arg(epoch);
        for length in [settings.open_min.min(settings.open_max), settings.open_max, settings.probe_slot] {
            call.arg(u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        call.arg(settings.threshold.max(1)).arg(u8::from(had_success));
        let (word, epoch, wait_ms, before, after, failures): (String, u64, u64, String, String, u64) =
            call.invoke_async(&mut self.conn.clone()).await?;
        let (before, state) = (State::from_word(&before), State::from_word(&after));
        self.failures.store(failures, Ordering::Relaxed);
        if before != state {
            (self.on_change)(before, state);
        }
        Ok(Reply { word, epoch, wait: Duration::from_millis(wait_ms), state, failures })
    }
}

impl Pass {
    fn token(&self) -> &str {
        self.probe.as_deref().unwrap_or("")
    }
}
