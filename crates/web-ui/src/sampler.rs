//! Looks at the queues every two seconds, once for everybody: any number of viewers costs Redis the same.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use mutt_core::{
    domain::clock::Clock,
    queue::{
        depth::{self, Depths},
        ledger::{self, Ledger},
    },
    redis::keys::Pipeline,
    runtime::Lifecycle,
};
use redis::aio::ConnectionManager;
use tokio::{sync::watch, time::timeout};

use crate::metrics::Metrics;

const PERIOD: Duration = Duration::from_secs(2);
/// A sample that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the queues looked like.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) at: DateTime<Utc>,
    pub(crate) depths: Depths,
    pub(crate) ledger: Ledger,
}

/// The last look at the queues, and whether the newest one failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The last that succeeded; `None` before the first.
    pub(crate) last: Option<Arc<Sample>>,
    /// Since when looks fail; `None` while they succeed.
    pub(crate) failing_since: Option<DateTime<Utc>>,
}

/// The samples; a clone sees the same ones.
#[derive(Clone)]
pub(crate) struct Samples(watch::Receiver<Seen>);

impl Samples {
    /// Starts looking, until the drain.
    pub(crate) async fn follow(
        conn: ConnectionManager,
        pipeline: Pipeline,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        lifecycle: &Lifecycle,
    ) -> Self {
        let (sender, receiver) = watch::channel(Seen::default());
        let look = Arc::new(Look { conn, pipeline, clock, metrics, sender });
        look.once().await;
        lifecycle.spawn_periodic("queue sampler", PERIOD, move || {
            let look = Arc::clone(&look);
            async move { look.once().await }
        });
        Self(receiver)
    }

    /// What was seen last.
    pub(crate) fn now(&self) -> Seen {
        self.0.borrow().clone()
    }
}

struct Look {
    conn: ConnectionManager,
    pipeline: Pipeline,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    sender: watch::Sender<Seen>,
}

impl Look {
    async fn once(&self) {
        let now = self.clock.now();
        let mut conn = self.conn.clone();
        let looked = timeout(PATIENCE, async {
            let depths = depth::sample(&mut conn, &self.pipeline, now).await?;
            let ledger = ledger::read(&mut conn, &self.pipeline).await?;
            redis::RedisResult::Ok(Sample { at: now, depths, ledger })
        });
        match looked.await {
            Ok(Ok(sample)) => {
                self.metrics.sampled(&sample.depths, &sample.ledger);
                self.sender.send_replace(Seen { last: Some(Arc::new(sample)), failing_since: None });
            }
            failed => {
                if let Ok(Err(error)) = failed {
                    tracing::debug!(%error, "the queues cannot be looked at");
                }
                self.sender.send_modify(|seen| seen.failing_since = seen.failing_since.or(Some(now)));
            }
        }
    }
}
