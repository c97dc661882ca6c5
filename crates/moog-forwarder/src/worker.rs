//! One alert's last hop: decode, gate, lease check, POST, verdict.
//!
//! Nothing here sleeps for a retry: an alert that must wait goes to the delayed set. An alert is given up only when
//! Moogsoft refuses it or when it failed alone, often enough, while others got through; never for an outage or a
//! wrong setting.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use mutt_core::{
    domain::{alert::Alert, clock::Clock, event::EventId},
    queue::{Batch, DeadLetter, Delivery, Gate, LeaseView, Settlement, Worked, Worker},
};
use rand::Rng as _;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::{
    client::{Answer, MoogClient},
    gate::{Charge, Ready, SendGate, Ticket},
    metrics::{FailReason, Metrics, Processed},
    outcome::{Fault, Outcome, Receipt, RetryCause},
    payload::{self, Dialect},
};

/// The stage's name in dead letters.
const STAGE: &str = "moog";
/// The same fault is reported to people once in this time, not once per lane.
const FAULT_REPORT: Duration = Duration::from_secs(10);
/// How long a lane waits after a fault of the configuration; the breaker says when it is tried again.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
/// How long a lane waits when its lease is in doubt.
const LEASE_PAUSE: Duration = Duration::from_millis(250);

/// When and how often a failed alert is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetrySettings {
    /// Failures charged to an alert before the one that ends it.
    pub max_retries: u32,
    /// Wait after the first failure, at most; doubled by each.
    pub base: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl RetrySettings {
    /// How long to wait after the `charged`-th failure, with full jitter so that copies of one moment spread.
    fn backoff(&self, charged: u32) -> Duration {
        let ceiling = self.base.saturating_mul(1_u32 << charged.min(20)).min(self.max);
        let floor = (self.base / 2).min(ceiling);
        rand::rng().random_range(floor..=ceiling)
    }
}

/// Sends alerts; one serves all lanes of a process.
pub struct Forwarder {
    /// Asked before each claim and each POST.
    pub gate: SendGate,
    /// The way out.
    pub client: MoogClient,
    /// What the body looks like.
    pub dialect: Dialect,
    /// When it is tried again.
    pub retries: RetrySettings,
    /// What is counted.
    pub metrics: Metrics,
    /// The time, for entries that carry none.
    pub clock: Arc<dyn Clock>,
    /// When a fault was last reported to people.
    pub reported: FaultReports,
}

/// Keeps the log readable while every lane meets the same fault.
#[derive(Debug, Default)]
pub struct FaultReports(Mutex<Option<Instant>>);

impl FaultReports {
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = last.is_none_or(|at| now - at >= FAULT_REPORT);
        if due {
            *last = Some(now);
        }
        due
    }
}

/// What becomes of one alert.
enum Verdict {
    Delivered,
    Retry { after: Duration, entry: Vec<u8> },
    DeadLetter(Box<DeadLetter>),
    GiveBack { pause: Duration },
}

impl Worker for Forwarder {
    async fn gate(&self) -> Gate {
        self.gate.before_claim().await
    }

    async fn work(&self, batch: &Batch, lease: &LeaseView) -> Worked {
        let _in_hand = InHand::enter(&self.metrics, batch.deliveries.len());
        // Side by side: a slow answer must not hold up the next alert, only the settling of this batch.
        let verdicts = join_all(batch.deliveries.iter().map(|delivery| self.deliver(delivery, lease))).await;
        let pauses = verdicts.iter().map(|verdict| match verdict {
            Verdict::GiveBack { pause } => Some(*pause),
            Verdict::Delivered | Verdict::Retry { .. } | Verdict::DeadLetter(_) => None,
        });
        if let Some(pause) = pauses.collect::<Option<Vec<_>>>().and_then(|pauses| pauses.into_iter().max()) {
            return Worked::GiveBack { pause };
        }
        let mut settlement = Settlement::new();
        for (delivery, verdict) in batch.deliveries.iter().zip(verdicts) {
            match verdict {
                Verdict::Delivered => {}
                Verdict::Retry { after, entry } => {
                    settlement.retry(delivery, after, entry);
                }
                Verdict::DeadLetter(why) => {
                    settlement.dead_letter(delivery, &why);
                }
                // Others of the batch are done, so it cannot go back as a whole: this one waits, uncharged.
                Verdict::GiveBack { pause } => {
                    settlement.retry(delivery, pause, delivery.bytes().to_vec());
                }
            }
        }
        Worked::Settle(settlement)
    }
}

impl Forwarder {
    async fn deliver(&self, delivery: &Delivery, lease: &LeaseView) -> Verdict {
        let alert = match decode(delivery) {
            Ok(alert) => alert,
            Err(error) => {
                error!(alert.id = delivery.id(), error, "entry is not an alert; it goes to the dead letters");
                self.metrics.processed(Processed::Dlq);
                let why = DeadLetter { error, ..DeadLetter::new("undecodable", STAGE) };
                return Verdict::DeadLetter(Box::new(why));
            }
        };
        let ticket = match self.gate.before_send(lease).await {
            Ready::Go(ticket) => ticket,
            Ready::NotNow(pause) => return Verdict::GiveBack { pause },
        };
        let body = payload::body(self.dialect, &alert, self.clock.now());
        if !lease.still_ours().await {
            self.gate.unused(&ticket).await;
            return Verdict::GiveBack { pause: LEASE_PAUSE };
        }
        let answer = self.client.send(&alert, body).await;
        lease.progress();
        self.judge(alert, &ticket, answer).await
    }

    async fn judge(&self, alert: Alert, ticket: &Ticket, answer: Answer) -> Verdict {
        if answer.status.is_some() {
            self.metrics.request_latency.observe(answer.took.as_secs_f64());
        }
        match answer.outcome {
            Outcome::Delivered(receipt) => {
                self.gate.answered(ticket).await;
                self.delivered(&alert, receipt);
                Verdict::Delivered
            }
            Outcome::Rejected(status) => {
                // It is there and answers: the refusal is about this message alone.
                self.gate.answered(ticket).await;
                self.metrics.no_fault();
                self.metrics.request_failed(FailReason::Http);
                let error = format!("Moogsoft answered {status}");
                self.give_up(&alert, "rejected", error, answer.excerpt)
            }
            Outcome::Misconfigured(fault) => {
                self.gate.misconfigured(ticket).await;
                self.metrics.request_failed(FailReason::Http);
                self.metrics.processed(Processed::Error);
                self.report(fault, &answer.excerpt);
                Verdict::GiveBack { pause: FAULT_PAUSE }
            }
            Outcome::Retry { cause, after } => {
                if let Some(calm) = after.filter(|calm| !calm.is_zero() && asks_for_calm(cause)) {
                    self.gate.hold(calm).await;
                }
                let charge = self.gate.failed(ticket).await;
                self.failed(alert, cause, charge, after.unwrap_or_default(), answer.excerpt)
            }
        }
    }

    fn delivered(&self, alert: &Alert, receipt: Receipt) {
        self.metrics.request_succeeded();
        self.metrics.processed(Processed::Success);
        self.metrics.no_fault();
        if receipt == Receipt::Uncertain {
            self.metrics.uncertain.inc();
        }
        if let Some(accepted_at) = alert.event_id.and_then(EventId::made_at) {
            let age = (self.clock.now() - accepted_at).to_std().unwrap_or_default();
            self.metrics.delivery_age.observe(age.as_secs_f64());
        }
        debug!(alert.id = %alert.id, correlation_id = %alert.correlation_id, delivery.attempt = alert.retry_count + 1, "delivered");
    }

    fn failed(
        &self,
        mut alert: Alert,
        cause: RetryCause,
        charge: Charge,
        at_least: Duration,
        answer: String,
    ) -> Verdict {
        let reason = if cause == RetryCause::RateLimited { FailReason::RateLimit } else { FailReason::Http };
        self.metrics.request_failed(reason);
        if charge == Charge::Attempt && alert.retry_count >= self.retries.max_retries {
            self.metrics.request_failed(FailReason::RetryExhausted);
            let error = format!("every try failed, the last one with {}", cause.as_label());
            return self.give_up(&alert, "attempts_spent", error, answer);
        }
        let after = self.retries.backoff(alert.retry_count).max(at_least);
        if charge == Charge::Attempt {
            alert.retry_count += 1;
        }
        self.metrics.processed(Processed::Error);
        info!(alert.id = %alert.id, correlation_id = %alert.correlation_id, cause = cause.as_label(), answer,
            charged = charge == Charge::Attempt, retry_count = alert.retry_count, retry_in = ?after, "not delivered; trying again later");
        // Text, numbers and checked JSON only: serialising it cannot fail.
        Verdict::Retry { after, entry: serde_json::to_vec(&alert).unwrap_or_default() }
    }

    fn give_up(&self, alert: &Alert, reason: &str, error: String, answer: String) -> Verdict {
        let attempts = alert.retry_count.saturating_add(1);
        warn!(alert.id = %alert.id, correlation_id = %alert.correlation_id, reason, error, answer, attempts,
            "alert goes to the dead letters");
        self.metrics.processed(Processed::Dlq);
        let why = DeadLetter { error, attempts, answer: Some(answer), ..DeadLetter::new(reason, STAGE) };
        Verdict::DeadLetter(Box::new(why))
    }

    fn report(&self, fault: Fault, answer: &str) {
        self.metrics.fault(fault);
        if self.reported.is_due() {
            error!(
                fault = fault.as_label(),
                answer,
                "nothing can be delivered until a person acts: {}; alerts wait in the queue, none is lost or given up",
                fault.advice()
            );
        }
    }
}

/// 429, and 503 when it says how long.
fn asks_for_calm(cause: RetryCause) -> bool {
    match cause {
        RetryCause::RateLimited => true,
        RetryCause::Unavailable(status) => status == http::StatusCode::SERVICE_UNAVAILABLE,
        RetryCause::TimedOut | RetryCause::NoConnection | RetryCause::Broken | RetryCause::NotTaken => false,
    }
}

fn decode(delivery: &Delivery) -> Result<Alert, String> {
    let text = delivery.text().map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Counts alerts for as long as they are in hand, however that ends.
struct InHand<'a>(&'a Metrics, i64);

impl<'a> InHand<'a> {
    fn enter(metrics: &'a Metrics, alerts: usize) -> Self {
        let alerts = i64::try_from(alerts).unwrap_or(i64::MAX);
        metrics.in_hand.add(alerts);
        Self(metrics, alerts)
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.in_hand.sub(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_are_jittered() {
        let retries =
            RetrySettings { max_retries: 5, base: Duration::from_secs(1), max: Duration::from_mins(1) };
        for (charged, ceiling) in [(0, 1), (1, 2), (4, 16), (6, 60), (4_000, 60)] {
            let waits: Vec<Duration> = (0..200).map(|_| retries.backoff(charged)).collect();
            assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(500)));
            assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(ceiling)), "{charged}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "no jitter after {charged}");
        }
    }

    #[test]
    fn an_undecodable_entry_says_why() {
        let entry = br#"{"_id":"01920000-0000-7000-8000-000000000001","hostname":7}"#.to_vec();
        assert!(decode(&Delivery::new(entry, 0)).unwrap_err().contains("expected a string"));
        assert!(decode(&Delivery::new(vec![0xff], 0)).is_err());
    }
}
