//! May we send now? The shared breaker before anything is taken, the shared limit and the breaker again before a POST.
//!
//! A "no" only ever delays: it costs no attempt, loses nothing and, when it would last, keeps nothing in hand. Exactly one
//! alert of one process probes a half-open breaker.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mutt_core::{
    queue::{Gate, LeaseView},
    redis::{
        breaker::{Admission, Breaker, Failure, Look, Pass},
        rate_limiter::{Permit, RateLimiter},
    },
    telemetry::report,
};
use redis::{RedisResult, aio::ConnectionManager};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::{FailReason, Metrics};

/// How long one lane may take to turn "a probe is to be had" into one, before another lane of the process may try.
const CANDIDATE_LIMIT: Duration = Duration::from_millis(500);
/// How long the other lanes wait meanwhile.
const CANDIDATE_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait for a permit with an alert in hand; a longer one is waited out without.
const HOLD_LIMIT: Duration = Duration::from_secs(2);
/// The longest pause of a lane that gave its alert back: then the gate knows better, such as that a limit was raised.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);
/// Between two questions that Redis did not answer.
const REDIS_PAUSE: Duration = Duration::from_millis(250);

/// Limiter and breaker as one answer.
#[derive(Debug)]
pub struct SendGate {
    limiter: RateLimiter<ConnectionManager>,
    /// `None` when it is switched off.
    breaker: Option<Breaker<ConnectionManager>>,
    /// Until when one lane is on its way to probe.
    candidate: Mutex<Option<Instant>>,
    drain: CancellationToken,
    metrics: Metrics,
}

/// Answer of [`SendGate::before_send`].
#[derive(Debug)]
#[must_use]
pub enum Ready {
    /// Send now and report what became of it.
    Go(Ticket),
    /// Give the alert back and come again after this long.
    NotNow(Duration),
}

/// Permission for one POST.
#[derive(Debug)]
#[must_use]
pub struct Ticket(Option<Pass>);

/// Whether a failed send counts against its alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Charge {
    /// Others get through: it is the alert's own.
    Attempt,
    /// Nobody gets through: it is the receiver's.
    Nothing,
}

impl Ready {
    fn not_now(wait: Duration) -> Self {
        Self::NotNow(wait.min(PAUSE_LIMIT))
    }
}

impl SendGate {
    /// A gate; `drain` ends waiting for permits.
    pub fn new(
        limiter: RateLimiter<ConnectionManager>,
        breaker: Option<Breaker<ConnectionManager>>,
        drain: CancellationToken,
        metrics: Metrics,
    ) -> Self {
        Self { limiter, breaker, candidate: Mutex::new(None), drain, metrics }
    }

    /// The shared limit, to change it.
    #[must_use]
    pub fn limiter(&self) -> &RateLimiter<ConnectionManager> {
        &self.limiter
    }

    /// The shared breaker, unless it is switched off.
    #[must_use]
    pub fn breaker(&self) -> Option<&Breaker<ConnectionManager>> {
        self.breaker.as_ref()
    }

    /// Whether an alert may be taken from the queue.
    pub async fn before_claim(&self) -> Gate {
        if let Some(Permit::Held(wait) | Permit::Full(wait)) = self.limiter.known_refusal() {
            return Gate::Wait(wait);
        }
        let Some(breaker) = &self.breaker else { return Gate::Open };
        match breaker.look().await {
            Ok(Look::Flowing) => Gate::Open,
            Ok(Look::Wait(wait)) => Gate::Wait(wait),
            Ok(Look::ProbeFree) if self.become_candidate() => Gate::Open,
            Ok(Look::ProbeFree) => Gate::Wait(CANDIDATE_PAUSE),
            Err(error) => {
                warn!(error = report(&error), "cannot read the circuit breaker; taking nothing meanwhile");
                Gate::Wait(REDIS_PAUSE)
            }
        }
    }

    /// Lets one lane of this process try for the probe; the others would only take alerts to give them back.
    fn become_candidate(&self) -> bool {
        let mut candidate = self.candidate.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let free = candidate.is_none_or(|until| now >= until);
        if free {
            *candidate = Some(now + CANDIDATE_LIMIT);
        }
        free
    }

    /// Waits for a permit and asks the breaker, with an alert in hand.
    pub async fn before_send(&self, lease: &LeaseView) -> Ready {
        let given_up = Instant::now() + HOLD_LIMIT;
        let mut waited = false;
        loop {
            let wait = match self.limiter.acquire().await {
                Ok(Permit::Granted) => break,
                Ok(Permit::Held(wait)) => return Ready::not_now(wait),
                Ok(Permit::Full(wait)) => wait,
                Err(error) => {
                    warn!(
                        error = report(&error),
                        "cannot ask the shared rate limit; sending nothing meanwhile"
                    );
                    REDIS_PAUSE
                }
            };
            if !waited {
                self.metrics.rate_limit_hits.inc();
                waited = true;
            }
            if Instant::now() + wait > given_up {
                return Ready::not_now(wait);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => lease.progress(),
                () = self.drain.cancelled() => return Ready::NotNow(Duration::ZERO),
            }
        }
        let Some(breaker) = &self.breaker else { return Ready::Go(Ticket(None)) };
        match breaker.admit().await {
            Ok(Admission::Go(pass)) => Ready::Go(Ticket(Some(pass))),
            Ok(Admission::Wait(wait)) => {
                self.metrics.request_failed(FailReason::CircuitOpen);
                Ready::not_now(wait)
            }
            Err(error) => {
                warn!(error = report(&error), "cannot ask the circuit breaker; sending nothing meanwhile");
                Ready::NotNow(REDIS_PAUSE)
            }
        }
    }

    /// Nothing was sent after all.
    pub async fn unused(&self, ticket: &Ticket) {
        if let Some((breaker, pass)) = self.parts(ticket) {
            log_failed("giving the probe back", breaker.give_back(pass).await);
        }
    }

    /// The receiver answered as it should, be it to refuse the message.
    pub async fn answered(&self, ticket: &Ticket) {
        if let Some((breaker, pass)) = self.parts(ticket) {
            log_failed("reporting a success", breaker.succeeded(pass).await);
        }
        self.clear_candidate(ticket);
    }

    /// The receiver did not answer as it should. An attempt is charged only when the breaker was closed at the start and
    /// is closed now, so that an outage, however long, costs an alert hardly any.
    pub async fn failed(&self, ticket: &Ticket) -> Charge {
        let Some((breaker, pass)) = self.parts(ticket) else { return Charge::Attempt };
        let charge = match breaker.failed(pass).await {
            Ok(Failure::StillClosed) if !pass.is_probe() => Charge::Attempt,
            Ok(Failure::StillClosed | Failure::Outage) => Charge::Nothing,
            Err(error) => {
                warn!(
                    error = report(&error),
                    "cannot report a failure to the circuit breaker; the alert is not charged for it"
                );
                Charge::Nothing
            }
        };
        self.clear_candidate(ticket);
        charge
    }

    /// Nothing can be delivered as it is configured: stops all processes.
    pub async fn misconfigured(&self, ticket: &Ticket) {
        if let Some((breaker, pass)) = self.parts(ticket) {
            log_failed("opening the circuit breaker", breaker.trip(pass).await);
        }
        self.clear_candidate(ticket);
    }

    /// The receiver asked all of us for calm.
    pub async fn hold(&self, how_long: Duration) {
        log_failed("telling the others to hold", self.limiter.hold(how_long).await);
    }

    fn parts<'a>(&'a self, ticket: &'a Ticket) -> Option<(&'a Breaker<ConnectionManager>, &'a Pass)> {
        self.breaker.as_ref().zip(ticket.0.as_ref())
    }

    /// After a probe's verdict the next one need not wait for the last candidate's time to run out.
    fn clear_candidate(&self, ticket: &Ticket) {
        if ticket.0.as_ref().is_some_and(Pass::is_probe) {
            *self.candidate.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

fn log_failed(what: &str, result: RedisResult<()>) {
    if let Err(error) = result {
        warn!(error = report(&error), "{what} did not reach Redis");
    }
}
