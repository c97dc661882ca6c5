//! One batch: read each entry, decide it, write the audit, say what becomes of each.
//!
//! An entry that can never be an event, or whose row can never be stored, goes to the dead letters with its bytes and the
//! reason. An event whose decision panics is that event's failure alone: it is tried again later, a few times. An outage
//! is nobody's failure.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use mutt_core::{
    domain::{
        alert::Alert,
        audit::Outcome,
        clock::Clock,
        event::{DecodeError, Event},
    },
    queue::{Batch, DeadLetter, Delivery, Gate, LeaseView, Settlement, Worked, Worker},
    redis::keys,
};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::{
    alert::{self, Raised},
    apply::{Audited, Auditor, Interrupted, chain},
    backpressure::Backpressure,
    decide::{Decision, decide},
    limits::Limits,
    metrics::{Metrics, Status, level},
    rule_set::{Rules, Snapshot},
    template,
};

/// The stage's name in dead letters.
const STAGE: &str = "alerter";
/// The first and the longest wait before an event that failed is tried again.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// How long a lane waits after it gave a batch back, so that it does not take it again at once.
const GIVE_BACK_PAUSE: Duration = Duration::from_millis(200);

/// Works on the batches of all lanes of a process.
pub struct Alerter {
    /// The rules in force.
    pub rules: Arc<Rules>,
    /// Writes the audit.
    pub auditor: Auditor,
    /// Whether more may be taken.
    pub backpressure: Backpressure,
    /// What may change while running.
    pub limits: Limits,
    /// Tells the time of dead letters and counting windows.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What was made of one entry before anything was written.
enum Judged<'b> {
    Decided {
        event: Event<'b>,
        decision: Decision<'b>,
    },
    /// Deciding it panicked.
    Failed {
        attempts: u32,
    },
    Undecodable(String),
}

impl Worker for Alerter {
    async fn gate(&self) -> Gate {
        self.backpressure.gate().await
    }

    async fn work(&self, batch: &Batch, lease: &LeaseView) -> Worked {
        let _in_hand = InHand::new(&self.metrics, batch.deliveries.len());
        let started = Instant::now();
        let reclaimed = batch.deliveries.iter().filter(|delivery| delivery.reclaims > 0).count();
        self.metrics.reclaimed.inc_by(u64::try_from(reclaimed).unwrap_or_default());

        let snapshot = self.rules.snapshot();
        let judged: Vec<Judged<'_>> =
            batch.deliveries.iter().map(|delivery| judge(delivery, &snapshot)).collect();
        let rows: Vec<_> = judged
            .iter()
            .filter_map(|judged| match judged {
                Judged::Decided { event, decision } => Some(decision.audit_row(event)),
                Judged::Failed { .. } | Judged::Undecodable(_) => None,
            })
            .collect();
        match self.auditor.write(&rows, lease).await {
            Ok(audited) => {
                let settlement = self.settle(batch, &judged, &audited, &snapshot);
                let seconds = started.elapsed().as_secs_f64();
                for _ in 0..rows.len() {
                    self.metrics.processing_latency.observe(seconds);
                }
                Worked::Settle(settlement)
            }
            Err(Interrupted) => Worked::GiveBack { pause: GIVE_BACK_PAUSE },
        }
    }
}

/// Reads and decides one entry; neither may take the batch down with it.
fn judge<'b>(delivery: &'b Delivery, snapshot: &'b Snapshot) -> Judged<'b> {
    let text = match delivery.text() {
        Ok(text) => text,
        Err(error) => return Judged::Undecodable(format!("not UTF-8: {error}")),
    };
    let mut attempts = 0;
    let decided = catch_unwind(AssertUnwindSafe(|| {
        let event = Event::decode(text)?;
        attempts = event.retry_count + 1;
        let decision = decide(&event, snapshot);
        Ok::<_, DecodeError>(Judged::Decided { event, decision })
    }));
    match decided {
        Ok(Ok(judged)) => judged,
        Ok(Err(error)) => Judged::Undecodable(chain(&error)),
        Err(_panic) => {
            error!(event.id = delivery.id(), attempts, "deciding an event panicked");
            Judged::Failed { attempts: attempts.max(1) }
        }
    }
}

/// What is counted while a batch is being settled.
#[derive(Default)]
struct Tally {
    handled: usize,
    unhandled: usize,
    poison: usize,
    error: usize,
    alerts: u64,
}

/// Unhandled events of one shape from one host in this batch: how many, and one of them.
struct Shape<'j, 'b> {
    count: u64,
    sample: &'j Event<'b>,
    decision: &'j Decision<'b>,
}

impl Alerter {
    fn settle(
        &self,
        batch: &Batch,
        judged: &[Judged<'_>],
        audited: &Audited,
        snapshot: &Snapshot,
    ) -> Settlement {
        let mut settlement = Settlement::new();
        let mut tally = Tally::default();
        let mut shapes: HashMap<(&str, String), Shape<'_, '_>> = HashMap::new();
        let mut row = 0;
        for (delivery, judged) in batch.deliveries.iter().zip(judged) {
            match judged {
                Judged::Decided { event, decision } => {
                    let fault = audited.fault(row);
                    row += 1;
                    if let Some(why) = fault {
                        let mut letter = self.letter("data_error", why);
                        letter.attempts = event.retry_count + 1;
                        give_up(delivery, &letter, &mut settlement, &mut tally);
                        continue;
                    }
                    let earlier = audited.earlier(event.id);
                    let raised = match earlier {
                        Some(stored) => Raised::by_earlier_row(stored, snapshot),
                        None => Raised::by_decision(decision),
                    };
                    if let Some(raised) = raised {
                        push(&mut settlement, &alert::for_event(event, &raised));
                        tally.alerts += 1;
                    }
                    let handled =
                        earlier.map_or(decision.rule.is_some(), |row| row.outcome == Outcome::Handled);
                    if handled {
                        tally.handled += 1;
                    } else {
                        tally.unhandled += 1;
                        let key = (&*event.hostname, template::shape(&event.message));
                        shapes.entry(key).or_insert(Shape { count: 0, sample: event, decision }).count += 1;
                    }
                }
                Judged::Failed { attempts } => {
                    self.try_again(delivery, *attempts, &mut settlement, &mut tally);
                }
                Judged::Undecodable(why) => {
                    give_up(delivery, &self.letter("undecodable", why), &mut settlement, &mut tally);
                }
            }
        }
        settlement.unhandled(tally.unhandled);
        self.count_shapes(shapes, snapshot, &mut settlement);
        self.metrics.event(Status::Handled, tally.handled);
        self.metrics.event(Status::Unhandled, tally.unhandled);
        self.metrics.event(Status::Poison, tally.poison);
        self.metrics.event(Status::Error, tally.error);
        self.metrics.alerts_forwarded.inc_by(tally.alerts);
        debug!(
            events = batch.deliveries.len(),
            handled = tally.handled,
            unhandled = tally.unhandled,
            alerts = tally.alerts,
            "batch decided"
        );
        settlement
    }

    fn count_shapes(
        &self,
        shapes: HashMap<(&str, String), Shape<'_, '_>>,
        snapshot: &Snapshot,
        settlement: &mut Settlement,
    ) {
        if shapes.is_empty() {
            return;
        }
        let limits = self.limits.unhandled();
        let seconds = i64::try_from(limits.expiry.as_secs().max(1)).unwrap_or(i64::MAX);
        let window = (self.clock.now().timestamp() / seconds).to_string();
        for ((host, shape), Shape { count, sample, decision }) in shapes {
            let team = snapshot.teams.get(host).map_or_else(|| self.limits.default_team(), String::as_str);
            let environment = decision.environment.as_str();
            let meta = alert::for_unhandled(sample, &shape, &window, team, environment, limits);
            let names = keys::unhandled(self.limits.unhandled_prefix(), host, &shape);
            let id = meta.id.to_string();
            settlement.count_unhandled(names, limits.threshold, limits.expiry, count, id, json(&meta));
        }
    }

    fn try_again(&self, delivery: &Delivery, attempts: u32, settlement: &mut Settlement, tally: &mut Tally) {
        match delivery.text() {
            Ok(text) if attempts <= self.limits.max_retries() => {
                settlement.retry(
                    delivery,
                    retry_wait(attempts),
                    with_retry_count(text, attempts).into_bytes(),
                );
                tally.error += 1;
            }
            _ => {
                let mut letter = self.letter("attempts_spent", "deciding this event panics");
                letter.attempts = attempts;
                give_up(delivery, &letter, settlement, tally);
            }
        }
    }

    fn letter(&self, reason: &str, why: &str) -> DeadLetter {
        DeadLetter {
            error: why.to_owned(),
            at_ms: self.clock.now().timestamp_millis(),
            attempts: 1,
            ..DeadLetter::new(reason, STAGE)
        }
    }
}

fn give_up(delivery: &Delivery, why: &DeadLetter, settlement: &mut Settlement, tally: &mut Tally) {
    warn!(
        event.id = delivery.id(),
        reason = why.reason,
        error = why.error,
        "an entry goes to the dead letters"
    );
    settlement.dead_letter(delivery, why);
    tally.poison += 1;
}

fn push(settlement: &mut Settlement, alert: &Alert) {
    settlement.push(alert.id.to_string(), json(alert));
}

/// Made of text, numbers and JSON that was read before: serialising cannot fail.
fn json(alert: &Alert) -> Vec<u8> {
    serde_json::to_vec(alert).unwrap_or_default()
}

/// How long an event waits after its `attempts`-th failure: 1 s, doubled each time, at most a minute.
fn retry_wait(attempts: u32) -> Duration {
    RETRY_WAITS.0.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(RETRY_WAITS.1)
}

/// The entry with its count of failed attempts, at its end: of a name that is there twice, the last one counts.
fn with_retry_count(entry: &str, attempts: u32) -> String {
    const LABEL: &str = ",\"_retry_count\":";
    let open = entry.trim_end().strip_suffix('}').unwrap_or(entry);
    // The count of the attempt before, when it is ours: nothing but digits behind the label.
    let bare = match open.rsplit_once(LABEL) {
        Some((before, count)) if !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => open,
    };
    format!("{bare}{LABEL}{attempts}}}")
}

/// Counts entries in hand for as long as they are.
struct InHand<'m> {
    metrics: &'m Metrics,
    entries: i64,
}

impl<'m> InHand<'m> {
    fn new(metrics: &'m Metrics, entries: usize) -> Self {
        let entries = level(entries);
        metrics.in_hand.add(entries);
        Self { metrics, entries }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.metrics.in_hand.sub(self.entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01920000-0000-7000-8000-000000000001";

    fn delivery(raw: &str) -> Delivery {
        Delivery::new(raw.as_bytes().to_vec(), 0)
    }

    #[test]
    fn the_retry_count_is_read_back_and_does_not_pile_up() {
        let first = with_retry_count(
            &format!(
                r#"{{"_id":"{ID}","_received_at":"2025-11-13T02:13:20Z","hostname":"h","message":"m"}}"#
            ),
            1,
        );
        assert_eq!(Event::decode(&first).unwrap().retry_count, 1);
        let second = with_retry_count(&first, 2);
        assert_eq!(Event::decode(&second).unwrap().retry_count, 2);
        assert_eq!(second.matches("_retry_count").count(), 1);
        let odd = with_retry_count(r#"{"a":",\"_retry_count\":"}"#, 1);
        assert_eq!(odd, r#"{"a":",\"_retry_count\":","_retry_count":1}"#);
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let seconds = [0, 1, 2, 3, 6, 7, 99].map(|attempts| retry_wait(attempts).as_secs());
        assert_eq!(seconds, [1, 1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn entries_that_are_no_events_are_told_apart_from_events() {
        let snapshot = Snapshot::default();
        let event = delivery(&format!(
            r#"{{"_id":"{ID}","_received_at":"2025-11-13T02:13:20Z","hostname":"h","message":"m"}}"#
        ));
        assert!(matches!(judge(&event, &snapshot), Judged::Decided { .. }));
        let no_host =
            delivery(&format!(r#"{{"_id":"{ID}","_received_at":"2025-11-13T02:13:20Z","message":"m"}}"#));
        assert!(matches!(judge(&no_host, &snapshot), Judged::Undecodable(why) if why.contains("hostname")));
        let not_utf8 = Delivery::new(b"{\"_id\":\"\xff".to_vec(), 0);
        assert!(matches!(judge(&not_utf8, &snapshot), Judged::Undecodable(why) if why.contains("UTF-8")));
    }
}
