//! The delivery protocol against a model: random histories of pushes, claims, completions, crashes, lost answers and late
//! copies on the real scripts and a real Redis, compared step by step with plain bookkeeping.
//!
//! `PROPTEST_CASES=10000 cargo nextest run -p mutt-core queue_model` runs a long search; a failure shrinks to the shortest
//! history that shows it.

use std::collections::{BTreeMap, BTreeSet};

use mutt_core::{
    queue::{DeadLetter, Delivery, Settlement, ledger},
    redis::{
        keys::Pipeline,
        scripts::{self, ClaimLimits, Claimed, Completed, ReapPolicy},
    },
};
use mutt_test_support::RedisServer;
use proptest::{prelude::*, test_runner::TestRunner};
use redis::{AsyncCommands, aio::MultiplexedConnection};

const LANES: usize = 3;
const LIMITS: ClaimLimits =
    ClaimLimits { max: 3, max_bytes: 1 << 20, lease_ms: 60_000, promote: 10, downstream_cap: 0 };
const POLICY: ReapPolicy = ReapPolicy { max_reclaims: 4, backoff_ms: 1 };

/// What becomes of one entry of a batch.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Done,
    Alert,
    Unhandled,
    Later,
    Dead,
}

#[derive(Debug, Clone)]
enum Step {
    Push {
        foreign: bool,
    },
    Claim {
        lane: usize,
    },
    /// Finishes what the lane believes it holds.
    Complete {
        lane: usize,
        fates: Vec<Fate>,
    },
    /// The lane never heard the answer to its last call, and asks again.
    Repeat {
        lane: usize,
    },
    /// A copy of a call that the lane made long ago arrives only now.
    LateCopy {
        lane: usize,
    },
    Release {
        lane: usize,
    },
    /// The lane's lease runs out and a janitor looks; the lane itself does not know.
    Reap {
        lane: usize,
    },
    /// The process dies, and another takes the lane's place under a new id.
    Crash {
        lane: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let lane = 0..LANES;
    let fate = prop_oneof![
        3 => Just(Fate::Done),
        3 => Just(Fate::Alert),
        1 => Just(Fate::Unhandled),
        1 => Just(Fate::Later),
        1 => Just(Fate::Dead)
    ];
    prop_oneof![
        4 => prop::bool::weighted(0.2).prop_map(|foreign| Step::Push { foreign }),
        4 => lane.clone().prop_map(|lane| Step::Claim { lane }),
        4 => (lane.clone(), prop::collection::vec(fate, 3)).prop_map(|(lane, fates)| Step::Complete { lane, fates }),
        2 => lane.clone().prop_map(|lane| Step::Repeat { lane }),
        2 => lane.clone().prop_map(|lane| Step::LateCopy { lane }),
        1 => lane.clone().prop_map(|lane| Step::Release { lane }),
        1 => lane.clone().prop_map(|lane| Step::Reap { lane }),
        1 => lane.prop_map(|lane| Step::Crash { lane }),
    ]
}

/// A call that a lane made, for repeats and late copies.
#[derive(Clone)]
enum Call {
    Claim { wid: String, seq: u64 },
    Complete { wid: String, seq: u64, fates: Vec<Fate>, batch: Vec<Vec<u8>> },
    Release { wid: String, seq: u64 },
}

/// A lane as it sees itself.
struct Lane {
    wid: String,
    seq: u64,
    batch: Vec<Vec<u8>>,
    calls: Vec<Call>,
}

impl Lane {
    fn new(wid: String) -> Self {
        Self { wid, seq: 0, batch: Vec::new(), calls: Vec::new() }
    }
}

struct World {
    conn: MultiplexedConnection,
    pipeline: Pipeline,
    lanes: Vec<Lane>,
    pushed: usize,
    lives: usize,
    /// Ids whose completion Redis applied, with the alert it pushed.
    settled: BTreeMap<String, bool>,
}

impl World {
    async fn new(mut conn: MultiplexedConnection) -> Self {
        let () = redis::cmd("FLUSHALL").query_async(&mut conn).await.unwrap();
        let mut world = Self {
            conn,
            pipeline: Pipeline::default(),
            lanes: Vec::new(),
            pushed: 0,
            lives: 0,
            settled: BTreeMap::new(),
        };
        for _ in 0..LANES {
            let lane = world.fresh_lane().await;
            world.lanes.push(lane);
        }
        world
    }

    async fn fresh_lane(&mut self) -> Lane {
        self.lives += 1;
        let wid = format!("pod.{}.0", self.lives);
        scripts::register(&mut self.conn, &self.pipeline.alerter, &wid, 60_000).await.unwrap();
        Lane::new(wid)
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Push { foreign } => self.push(foreign).await,
            Step::Claim { lane } => {
                // Even while it holds a batch, which no lane should do: the script must refuse.
                let call = Call::Claim { wid: self.lanes[lane].wid.clone(), seq: self.lanes[lane].seq + 1 };
                self.call(lane, call).await;
            }
            Step::Complete { lane, fates } => {
                if !self.lanes[lane].batch.is_empty() {
                    let Lane { wid, seq, batch, .. } = &self.lanes[lane];
                    let call = Call::Complete { wid: wid.clone(), seq: *seq, fates, batch: batch.clone() };
                    self.call(lane, call).await;
                }
            }
            Step::Release { lane } => {
                if !self.lanes[lane].batch.is_empty() {
                    let call = Call::Release { wid: self.lanes[lane].wid.clone(), seq: self.lanes[lane].seq };
                    self.call(lane, call).await;
                }
            }
            Step::Repeat { lane } => {
                if let Some(call) = self.lanes[lane].calls.last().cloned() {
                    self.call(lane, call).await;
                }
            }
            Step::LateCopy { lane } => {
                let calls = &self.lanes[lane].calls;
                if calls.len() > 1 {
                    let call = calls[calls.len() / 2 - 1].clone();
                    // Nobody listens to its answer.
                    let _unheard = self.send(&call).await;
                }
            }
            Step::Reap { lane } => {
                let wid = self.lanes[lane].wid.clone();
                let () = self.conn.zadd(&self.pipeline.alerter.lease, &wid, 1).await.unwrap();
                scripts::reap(&mut self.conn, &self.pipeline.alerter, &wid, POLICY, false).await.unwrap();
            }
            Step::Crash { lane } => {
                let fresh = self.fresh_lane().await;
                let dead = std::mem::replace(&mut self.lanes[lane], fresh);
                scripts::reap(&mut self.conn, &self.pipeline.alerter, &dead.wid, POLICY, true).await.unwrap();
            }
        }
    }

    async fn push(&mut self, foreign: bool) {
        self.pushed += 1;
        let n = self.pushed;
        let queue = &self.pipeline.alerter.queue;
        if foreign {
            let () = self.conn.lpush(queue, format!(r#"{{"n":{n}}}"#)).await.unwrap();
        } else {
            let entry = format!(r#"{{"_id":"01920000-0000-7000-8000-{n:012}","n":{n}}}"#);
            let () = redis::pipe()
                .atomic()
                .lpush(queue, entry)
                .hincr("mutt:ledger", "alerter:in", 1)
                .query_async(&mut self.conn)
                .await
                .unwrap();
        }
    }

    /// Makes a call and lets the lane act on the answer, as `queue::lane` does.
    async fn call(&mut self, lane: usize, call: Call) {
        self.lanes[lane].calls.push(call.clone());
        match self.send(&call).await {
            Answer::Claimed(Claimed::Batch(entries)) => {
                let Call::Claim { seq, .. } = call else { unreachable!() };
                self.lanes[lane].seq = self.lanes[lane].seq.max(seq);
                self.lanes[lane].batch = entries.into_iter().map(|(raw, _)| raw).collect();
            }
            Answer::Claimed(Claimed::Lost) | Answer::Completed(Completed::Lost) => {
                panic!("only a Redis that went back in time forgets a lane")
            }
            Answer::Claimed(Claimed::Fenced) | Answer::Completed(Completed::Fenced) => {
                self.lanes[lane] = self.fresh_lane().await;
            }
            Answer::Completed(Completed::Applied) | Answer::Released => self.lanes[lane].batch.clear(),
            Answer::Claimed(_) | Answer::Completed(Completed::Stale) => {}
        }
    }

    async fn send(&mut self, call: &Call) -> Answer {
        let keys = &self.pipeline.alerter;
        match call {
            Call::Claim { wid, seq } => {
                Answer::Claimed(scripts::claim(&mut self.conn, keys, wid, *seq, &LIMITS).await.unwrap())
            }
            Call::Release { wid, seq } => {
                scripts::release(&mut self.conn, keys, wid, *seq, false).await.unwrap();
                Answer::Released
            }
            Call::Complete { wid, seq, fates, batch } => {
                let held: usize = self.conn.llen(keys.processing(wid)).await.unwrap();
                let mut settlement = Settlement::new();
                let mut unhandled = 0;
                for (raw, fate) in batch.iter().zip(fates) {
                    let delivery = Delivery::new(raw.clone(), 0);
                    match fate {
                        Fate::Done => {}
                        Fate::Alert => {
                            settlement.push(delivery.id(), raw.clone());
                        }
                        Fate::Unhandled => unhandled += 1,
                        Fate::Later => {
                            settlement.retry(&delivery, std::time::Duration::ZERO, raw.clone());
                        }
                        Fate::Dead => {
                            settlement.dead_letter(&delivery, &DeadLetter::new("scripted", "alerter"));
                        }
                    }
                }
                settlement.unhandled(unhandled);
                let done =
                    scripts::complete(&mut self.conn, keys, wid, *seq, 3_600_000, &settlement).await.unwrap();
                if done == Completed::Applied && held > 0 {
                    for (raw, fate) in batch.iter().zip(fates) {
                        if matches!(fate, Fate::Done | Fate::Alert | Fate::Unhandled) {
                            let id = Delivery::new(raw.clone(), 0).id().to_owned();
                            let first = self.settled.insert(id.clone(), matches!(fate, Fate::Alert));
                            assert!(first.is_none(), "{id} was settled twice");
                        }
                    }
                }
                Answer::Completed(done)
            }
        }
    }

    /// Every pushed entry is in exactly one place, every alert was pushed once, and the ledger agrees.
    async fn check(&mut self) {
        let keys = self.pipeline.alerter.clone();
        let mut held: Vec<String> = self.conn.lrange(&keys.queue, 0, -1).await.unwrap();
        let processing: Vec<String> = self.conn.keys(format!("{}:*", keys.processing_prefix)).await.unwrap();
        for list in processing {
            held.extend(self.conn.lrange::<_, Vec<String>>(list, 0, -1).await.unwrap());
        }
        held.extend(self.conn.zrange::<_, Vec<String>>(&keys.delayed, 0, -1).await.unwrap());
        held.extend(self.conn.lrange::<_, Vec<String>>(&keys.dead_letters, 0, -1).await.unwrap());
        let numbers: Vec<u64> = held
            .iter()
            .map(|entry| serde_json::from_str::<serde_json::Value>(entry).unwrap()["n"].as_u64().unwrap())
            .collect();
        let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(distinct.len(), numbers.len(), "an entry is in two places: {held:?}");
        assert_eq!(numbers.len() + self.settled.len(), self.pushed, "an entry is missing");
        let alerts: u64 = self.conn.llen(&keys.downstream).await.unwrap();
        let expected = self.settled.values().filter(|alert| **alert).count();
        assert_eq!(alerts, u64::try_from(expected).unwrap(), "an alert is missing or doubled");
        let foreign: i64 =
            held.iter().filter(|entry| !entry.starts_with("{\"_id\"")).count().try_into().unwrap();
        let ledger = ledger::read(&mut self.conn, &self.pipeline).await.unwrap();
        assert_eq!(ledger.stage("alerter").unwrap().imbalance, -foreign, "{ledger:#?}");
        assert!(ledger.stages.iter().skip(1).all(|stage| stage.imbalance == 0), "{ledger:#?}");
    }
}

enum Answer {
    Claimed(Claimed),
    Completed(Completed),
    Released,
}

#[test]
fn no_history_loses_doubles_or_miscounts_an_entry() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_server, conn) = runtime.block_on(async {
        let server =
            RedisServer::builder().append_fsync(mutt_test_support::AppendFsync::Off).start().await.unwrap();
        let conn = server.connection().await;
        (server, conn)
    });
    let cases = ProptestConfig::default().cases.min(if std::env::var_os("PROPTEST_CASES").is_some() {
        u32::MAX
    } else {
        150
    });
    let mut runner =
        TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let outcome = runner.run(&prop::collection::vec(step(), 1..80), |steps| {
        runtime.block_on(async {
            let mut world = World::new(conn.clone()).await;
            for step in steps {
                world.take(step).await;
                world.check().await;
            }
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
