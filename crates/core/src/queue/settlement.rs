//! What becomes of every entry of a batch, as one script applies it.

use std::time::Duration;

use ::redis::ScriptInvocation;

use super::{DeadLetter, Delivery};

/// The outcome of a whole batch. Entries that are not named are done: acknowledged and counted as the stage's
/// outcome (`handled` for the alerter, `delivered` for the forwarder).
#[derive(Debug, Default)]
pub struct Settlement {
    unhandled: usize,
    shapes: Vec<Shape>,
    ops: Vec<(Op, String, Vec<u8>)>,
}

#[derive(Debug)]
struct Shape {
    keys: [String; 2],
    threshold: u64,
    expiry: Duration,
    add: u64,
    alert_id: String,
    alert: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Push,
    Delay(u64),
    DeadLetter,
    Replay,
    Keep,
}

impl Settlement {
    /// Everything is done.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of the acknowledged entries, this many were handled by no rule; they are counted apart.
    pub fn unhandled(&mut self, entries: usize) -> &mut Self {
        self.unhandled = entries;
        self
    }

    /// Pushes an alert downstream, unless one with this id was pushed lately. `alert` begins with `{"_id":"<id>"`.
    pub fn push(&mut self, id: impl Into<String>, alert: Vec<u8>) -> &mut Self {
        self.ops.push((Op::Push, id.into(), alert));
        self
    }

    /// Tries an entry again after `after`; `entry` replaces it, usually with a higher attempt count.
    pub fn retry(&mut self, delivery: &Delivery, after: Duration, entry: Vec<u8>) -> &mut Self {
        let delay = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.ops.push((Op::Delay(delay), delivery.id().to_owned(), entry));
        self
    }

    /// Gives an entry up, with its bytes and the reason.
    pub fn dead_letter(&mut self, delivery: &Delivery, why: &DeadLetter) -> &mut Self {
        self.ops.push((Op::DeadLetter, delivery.id().to_owned(), why.wrap(delivery)));
        self
    }

    /// Puts a dead letter back on the queue it came from.
    pub fn replay(&mut self, delivery: &Delivery, entry: Vec<u8>) -> &mut Self {
        self.ops.push((Op::Replay, delivery.id().to_owned(), entry));
        self
    }

    /// Puts an entry back on the far end of its own queue, unchanged and without an outcome.
    pub fn keep(&mut self, delivery: &Delivery) -> &mut Self {
        self.ops.push((Op::Keep, delivery.id().to_owned(), delivery.bytes().to_vec()));
        self
    }

    /// Counts `add` unhandled events of one shape under `keys` (counter, triggered); the event that reaches or
    /// passes `threshold` pushes `alert` once until `expiry` is over. The count is appended to the alert.
    pub fn count_unhandled(
        &mut self,
        keys: [String; 2],
        threshold: u64,
        expiry: Duration,
        add: u64,
        alert_id: impl Into<String>,
        alert: Vec<u8>,
    ) -> &mut Self {
        self.shapes.push(Shape { keys, threshold, expiry, add, alert_id: alert_id.into(), alert });
        self
    }

    /// How many entries get an outcome other than done.
    #[must_use]
    pub fn named(&self) -> usize {
        self.ops.iter().filter(|(op, ..)| *op != Op::Push).count()
    }

    /// Appends keys and arguments in the order of `complete.lua`, from KEYS 12 and ARGV 7.
    pub(crate) fn write(&self, call: &mut ScriptInvocation<'static>, outcome: &str) {
        call.arg(outcome).arg("unhandled").arg(self.unhandled).arg(self.shapes.len());
        for shape in &self.shapes {
            call.key(&shape.keys[0]).key(&shape.keys[1]);
            call.arg(shape.threshold).arg(shape.expiry.as_secs().max(1)).arg(shape.add);
            call.arg(&shape.alert_id).arg(&shape.alert);
        }
        for (op, id, payload) in &self.ops {
            match op {
                Op::Push => call.arg("P").arg(id),
                Op::Delay(ms) => call.arg("D").arg(*ms),
                Op::DeadLetter => call.arg("X").arg(id),
                Op::Replay => call.arg("Q").arg(id),
                Op::Keep => call.arg("K").arg(id),
            };
            call.arg(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_effects_and_not_outcomes_of_entries() {
        let delivery = Delivery::new(br#"{"_id":"01920000-0000-7000-8000-000000000001","a":1}"#.to_vec(), 0);
        let mut settlement = Settlement::new();
        settlement.push("x", b"{}".to_vec()).retry(&delivery, Duration::from_secs(1), b"{}".to_vec());
        settlement.dead_letter(&delivery, &DeadLetter::new("test", "alerter"));
        assert_eq!(settlement.named(), 2);
    }
}
