//! The balance: for every stage, what was taken in equals what came out plus what the lists and sets hold.
//!
//! The scripts that move entries keep the counters, and one script reads counters and lengths at one instant, so the
//! balance is exact while work goes on. Entries that another producer pushed count as taken in when they are claimed.

use std::collections::HashMap;

use ::redis::{FromRedisValue, RedisResult, Value, aio::ConnectionLike};
use serde::Serialize;

use crate::redis::{
    keys::{LEDGER, Pipeline},
    scripts,
};

/// Counters that bring entries into a stage.
const IN: [&str; 4] = ["in", "foreign", "reinjected", "adopted"];
/// Counters that end an entry in a stage.
const OUT: [&str; 7] = ["handled", "unhandled", "delivered", "discarded", "replayed", "dead", "purged"];

/// One stage's side of the balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageBalance {
    /// The stage's name.
    pub stage: String,
    /// Entries taken in, by how.
    pub taken_in: Vec<(String, i64)>,
    /// Entries that ended here, by how.
    pub outcomes: Vec<(String, i64)>,
    /// Entries on the queue.
    pub waiting: i64,
    /// Entries that lanes hold.
    pub in_flight: i64,
    /// Entries that wait for their next try.
    pub delayed: i64,
    /// Taken in, less outcomes, less what is held: 0, always, once foreign entries have been claimed.
    pub imbalance: i64,
}

/// The whole ledger at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// The stages in the order in which entries pass them; the last is the list that only people empty.
    pub stages: Vec<StageBalance>,
}

impl Ledger {
    /// The largest imbalance of any stage, by amount; 0 when every entry is accounted for.
    #[must_use]
    pub fn imbalance(&self) -> i64 {
        self.stages.iter().map(|stage| stage.imbalance).max_by_key(|imbalance| imbalance.abs()).unwrap_or(0)
    }

    /// The stage of this name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&StageBalance> {
        self.stages.iter().find(|stage| stage.stage == name)
    }
}

impl StageBalance {
    /// One counter of this stage, 0 when it was never counted.
    #[must_use]
    pub fn count(&self, name: &str) -> i64 {
        self.taken_in.iter().chain(&self.outcomes).find(|(counter, _)| counter == name).map_or(0, |(_, n)| *n)
    }

    fn new(stage: &str, counters: &HashMap<String, i64>, held: (i64, i64, i64)) -> Self {
        let pick = |names: &[&str]| -> Vec<(String, i64)> {
            names
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), *counters.get(&format!("{stage}:{name}"))?)))
                .collect()
        };
        let (taken_in, outcomes) = (pick(&IN), pick(&OUT));
        let sum = |counters: &[(String, i64)]| counters.iter().map(|(_, n)| n).sum::<i64>();
        let (waiting, in_flight, delayed) = held;
        let imbalance = sum(&taken_in) - sum(&outcomes) - waiting - in_flight - delayed;
        Self { stage: stage.to_owned(), taken_in, outcomes, waiting, in_flight, delayed, imbalance }
    }
}

/// Reads the ledger in one atomic step; O(lanes).
///
/// # Errors
/// The Redis error.
pub async fn read<C: ConnectionLike + Send + Sync>(conn: &mut C, pipeline: &Pipeline) -> RedisResult<Ledger> {
    let stages = pipeline.stages();
    let mut call = scripts::LEDGER_READ.prepare_invoke();
    call.key(LEDGER);
    for stage in stages {
        call.key(&stage.queue).key(&stage.delayed).key(&stage.batch).arg(&stage.processing_prefix);
    }
    // The list of the truly dead has no lanes; its delayed set and batch hash never exist.
    let dead = crate::redis::keys::DLQ_DEAD;
    call.key(dead).key("mutt:delayed:dead").key("mutt:batch:dead").arg("mutt:processing:dead");
    let answer: Vec<Value> = call.invoke_async(conn).await?;
    let mut answer = answer.into_iter();
    let counters = HashMap::<String, i64>::from_redis_value(answer.next().unwrap_or(Value::Nil))?;
    let names = stages.iter().map(|stage| stage.stage.as_str()).chain(["dead"]);
    let stages = names
        .zip(answer)
        .map(|(name, held)| Ok(StageBalance::new(name, &counters, FromRedisValue::from_redis_value(held)?)))
        .collect::<RedisResult<_>>()?;
    Ok(Ledger { stages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unaccounted_for_shows_with_its_sign() {
        let counters = HashMap::from([
            ("alerter:in".to_owned(), 10),
            ("alerter:foreign".to_owned(), 1),
            ("alerter:handled".to_owned(), 6),
            ("alerter:dead".to_owned(), 1),
            ("moog:in".to_owned(), 99),
        ]);
        let stage = StageBalance::new("alerter", &counters, (2, 1, 1));
        assert_eq!(stage.imbalance, 0);
        assert_eq!(stage.count("handled"), 6);
        let lost = StageBalance::new("alerter", &counters, (1, 1, 1));
        let doubled = StageBalance::new("alerter", &counters, (4, 1, 1));
        assert_eq!((lost.imbalance, doubled.imbalance), (1, -2));
        assert_eq!(Ledger { stages: vec![lost, doubled] }.imbalance(), -2);
    }
}
