//! One sending limit shared by all processes: a sliding window in Redis (`lua/rate.lua`), on the clock of Redis.
//!
//! Callers that wait at the same time are served by one call, so the cost is a round trip per group. Permits are
//! never kept for later: each must be used soon after it was asked for, and counts in the window until that moment
//! plus a whole window. No window may ever hold more than the limit; a refusal says how long to wait and loses nothing.

use std::{
    sync::{
        LazyLock, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::redis::{RedisResult, Script, aio::ConnectionLike};
use tokio::{sync::Mutex, time::Instant};

#[expect(clippy::disallowed_methods, reason = "the one place that loads this script")]
static RATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../../lua/rate.lua")));

/// Most permits of one call: `ZADD` gets two arguments for each, and Lua passes at most some 8,000.
const WANT_MAX: usize = 1_000;
/// How long a permit may lie unused on a healthy network; slower ones stretch it (see [`Pool::use_by`]).
const USE_BY: Duration = Duration::from_millis(50);
/// What the window is longer than asked for, because requests sent evenly do not arrive evenly; at most this.
const ARRIVAL_MARGIN_MAX: Duration = Duration::from_millis(500);
/// A remembered refusal is asked about again this soon, so that a hold that a person lifts ends at once.
const REFUSAL_MEMORY: Duration = Duration::from_secs(1);

/// How much may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Most sends in any window; 0 for no limit.
    pub permits: u64,
    /// Length of the window.
    pub window: Duration,
}

impl RateLimit {
    /// The window that is kept: one twentieth longer, so that jitter on the way does not crowd a window at the receiver.
    fn window_with_margin(&self) -> Duration {
        self.window + (self.window / 20).min(ARRIVAL_MARGIN_MAX)
    }
}

/// Answer of [`RateLimiter::acquire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Permit {
    /// Send now. Not using it only wastes it.
    Granted,
    /// The window is full: one more may be sent after this long.
    Full(Duration),
    /// The receiver asked for calm for this long.
    Held(Duration),
}

/// Names of the limiter's keys.
#[derive(Debug, Clone)]
struct RateKeys {
    permits: String,
    members: String,
    hold: String,
}

/// A shared limit; see the module.
///
/// `C` is a connection that may be cloned freely and used concurrently, as `ConnectionManager` may.
#[derive(Debug)]
pub struct RateLimiter<C> {
    conn: C,
    keys: RateKeys,
    limit: RwLock<RateLimit>,
    pool: Mutex<Pool>,
    waiting: AtomicUsize,
}

impl<C: ConnectionLike + Clone + Send> RateLimiter<C> {
    /// A limiter over `key` (`mutt:rate_limit:moog`), `key:n` and `key:hold`.
    pub fn new(conn: C, key: &str, limit: RateLimit) -> Self {
        let keys =
            RateKeys { permits: key.to_owned(), members: format!("{key}:n"), hold: format!("{key}:hold") };
        Self {
            conn,
            keys,
            limit: RwLock::new(limit),
            pool: Mutex::new(Pool::default()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Changes the limit for all later calls of this process; what it knew of the old one is good for a second at most.
    pub fn set_limit(&self, limit: RateLimit) {
        *self.limit.write().unwrap_or_else(PoisonError::into_inner) = limit;
    }

    /// The limit in force in this process.
    pub fn limit(&self) -> RateLimit {
        *self.limit.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for one permit, to be used at once.
    ///
    /// Cancel safe: a permit that was on its way is wasted, never doubled.
    ///
    /// # Errors
    /// The Redis error. Nothing may be sent then; ask again.
    pub async fn acquire(&self) -> RedisResult<Permit> {
        let _waiting = Waiting::enter(&self.waiting);
        let mut pool = self.pool.lock().await;
        if let Some(answer) = pool.answer(Instant::now()) {
            return Ok(answer);
        }
        let limit = self.limit();
        // Everybody who waits behind this lock is served by the one call.
        let group = self.waiting.load(Ordering::Relaxed).clamp(1, WANT_MAX);
        let want = if limit.permits == 0 { WANT_MAX } else { group };
        let use_by = pool.use_by(limit.window);
        let asked = Instant::now();
        let (granted, wait_ms, held) = self.ask(limit, want, use_by).await?;
        pool.note(asked, use_by, granted, Duration::from_millis(wait_ms), held == 1);
        // A reply that came too late to be used leaves nothing; then the next call, with more time to use it, decides.
        Ok(pool.answer(Instant::now()).unwrap_or(Permit::Full(Duration::from_millis(1))))
    }

    async fn ask(&self, limit: RateLimit, want: usize, use_by: Duration) -> RedisResult<(usize, u64, u8)> {
        let mut call = RATE.prepare_invoke();
        call.key(&self.keys.permits).key(&self.keys.members).key(&self.keys.hold);
        call.arg(limit.permits).arg(millis(limit.window_with_margin())).arg(want).arg(millis(use_by));
        call.invoke_async(&mut self.conn.clone()).await
    }

    /// A refusal that is known without asking, and how long it lasts; `None` when asking may help.
    #[must_use]
    pub fn known_refusal(&self) -> Option<Permit> {
        // Somebody who holds the lock is asking: then there is nothing known.
        self.pool.try_lock().ok()?.refused(Instant::now())
    }

    /// Stops all processes from sending for `how_long`; a longer hold in force stays.
    ///
    /// # Errors
    /// The Redis error; the hold may then not be known to the others.
    pub async fn hold(&self, how_long: Duration) -> RedisResult<()> {
        let ms = millis(how_long);
        if ms == 0 {
            return Ok(());
        }
        let mut both = ::redis::pipe();
        both.atomic().cmd("SET").arg(&self.keys.hold).arg(1).arg("NX").arg("PX").arg(ms).ignore();
        both.cmd("PEXPIRE").arg(&self.keys.hold).arg(ms).arg("GT").ignore();
        self.pool.lock().await.hold(how_long, Instant::now());
        both.query_async(&mut self.conn.clone()).await
    }
}

/// Whole milliseconds, at least 1 unless zero.
fn millis(duration: Duration) -> u64 {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 && !duration.is_zero() { 1 } else { ms }
}

/// Counts a caller for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the last call left for those who waited behind it.
#[derive(Debug, Default)]
struct Pool {
    permits: usize,
    /// Permits are void from here on: the window counts them as used before it.
    void_at: Option<Instant>,
    /// A refusal, and when it was to end.
    refusal: Option<(Permit, Instant)>,
    /// When the refusal is no longer believed.
    ask_again: Option<Instant>,
    /// The slowest call lately.
    slow: Duration,
}

impl Pool {
    /// The answer that is known without asking.
    fn answer(&mut self, now: Instant) -> Option<Permit> {
        if let Some(refusal) = self.refused(now) {
            return Some(refusal);
        }
        if self.permits > 0 && self.void_at.is_some_and(|void_at| now < void_at) {
            self.permits -= 1;
            return Some(Permit::Granted);
        }
        None
    }

    fn refused(&self, now: Instant) -> Option<Permit> {
        let (refusal, until) =
            self.refusal.filter(|_| self.ask_again.is_some_and(|ask_again| now < ask_again))?;
        let left = until.saturating_duration_since(now);
        Some(if matches!(refusal, Permit::Held(_)) { Permit::Held(left) } else { Permit::Full(left) })
    }

    fn note(&mut self, asked: Instant, use_by: Duration, granted: usize, wait: Duration, held: bool) {
        let now = Instant::now();
        self.slow = (now - asked).max(self.slow * 7 / 8);
        self.permits = granted;
        // From before the call, so that the clock here runs out before the one in Redis does.
        self.void_at = Some(asked + use_by);
        self.refusal = None;
        if granted == 0 {
            self.refuse(if held { Permit::Held(wait) } else { Permit::Full(wait) }, now);
        }
    }

    fn hold(&mut self, how_long: Duration, now: Instant) {
        let longer = |&(_, until): &(Permit, Instant)| until > now + how_long;
        if self.refusal.as_ref().is_none_or(|known| !longer(known)) {
            self.refuse(Permit::Held(how_long), now);
        }
    }

    fn refuse(&mut self, refusal: Permit, now: Instant) {
        let (Permit::Held(wait) | Permit::Full(wait)) = refusal else {
            return;
        };
        self.permits = 0;
        self.refusal = Some((refusal, now + wait));
        self.ask_again = Some(now + wait.min(REFUSAL_MEMORY));
    }

    /// How long permits may lie: a call that takes longer than that gets nothing, so a slow network gets more time.
    fn use_by(&self, window: Duration) -> Duration {
        (window / 20).min(USE_BY).max(self.slow * 4).min(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn permits_are_void_after_their_use_by() {
        let mut pool = Pool::default();
        let asked = Instant::now();
        pool.note(asked, USE_BY, 3, Duration::ZERO, false);
        assert_eq!(pool.answer(Instant::now()), Some(Permit::Granted));
        tokio::time::advance(USE_BY).await;
        assert_eq!(pool.answer(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_counts_down_and_is_asked_about_again() {
        let mut pool = Pool::default();
        pool.note(Instant::now(), USE_BY, 0, Duration::from_mins(1), true);
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(pool.answer(Instant::now()), Some(Permit::Held(Duration::from_millis(59_600))));
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!(pool.answer(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_network_gets_more_time_but_never_more_than_a_window() {
        let mut pool = Pool::default();
        assert_eq!(pool.use_by(WINDOW), USE_BY);
        let asked = Instant::now();
        tokio::time::advance(Duration::from_millis(100)).await;
        pool.note(asked, USE_BY, 5, Duration::ZERO, false);
        assert_eq!(pool.answer(Instant::now()), None, "came too late to be used");
        assert_eq!(pool.use_by(WINDOW), Duration::from_millis(400));
        pool.slow = Duration::from_secs(9);
        assert_eq!(pool.use_by(WINDOW), WINDOW);
    }

    #[test]
    fn the_margin_is_bounded() {
        let second = RateLimit { permits: 50, window: WINDOW };
        assert_eq!(second.window_with_margin(), Duration::from_millis(1_050));
        let minute = RateLimit { permits: 50, window: Duration::from_mins(1) };
        assert_eq!(minute.window_with_margin(), Duration::from_millis(60_500));
    }
}
