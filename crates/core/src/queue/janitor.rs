//! Gives the batches of dead lanes back.
//!
//! Every process runs one; no leader is needed, as the script looks at the lease again. After Redis was away all
//! leases are stale although all lanes live, so nothing is reaped until this process has seen the same Redis for a while.

use std::{collections::HashSet, sync::Arc, time::Duration};

use ::redis::{AsyncCommands, InfoDict, RedisResult, aio::ConnectionManager};
use rand::Rng as _;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::LaneSettings;
use crate::redis::{
    keys::StageKeys,
    scripts::{self, ReapPolicy},
};

/// How dead lanes are found and what happens to what they held.
#[derive(Debug, Clone)]
pub struct JanitorSettings {
    /// Between two looks for run-out leases, give or take a fifth.
    pub tick: Duration,
    /// Between two looks for lists without any owner.
    pub sweep: Duration,
    /// Deaths after which an entry is a dead letter.
    pub max_reclaims: u32,
    /// Wait before the second redelivery; doubles with each death.
    pub backoff: Duration,
}

impl Default for JanitorSettings {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(5),
            sweep: Duration::from_mins(1),
            max_reclaims: 4,
            backoff: Duration::from_secs(1),
        }
    }
}

impl JanitorSettings {
    fn policy(&self) -> ReapPolicy {
        let backoff_ms = u64::try_from(self.backoff.as_millis()).unwrap_or(u64::MAX);
        ReapPolicy { max_reclaims: self.max_reclaims, backoff_ms }
    }
}

/// Most lanes looked at in one tick.
const PAGE: isize = 16;

/// Reaps for ever.
pub(super) async fn run(mut conn: ConnectionManager, keys: Arc<StageKeys>, settings: LaneSettings) {
    let mut server = Server::default();
    let mut orphans = HashSet::new();
    let mut swept = Instant::now();
    loop {
        let jitter = rand::rng().random_range(0.8..1.2);
        tokio::time::sleep(settings.janitor.tick.mul_f64(jitter)).await;
        let round = async {
            if !server.is_settled(&mut conn, settings.lease).await? {
                return Ok(());
            }
            reap_expired(&mut conn, &keys, &settings).await?;
            if swept.elapsed() >= settings.janitor.sweep {
                swept = Instant::now();
                orphans = sweep(&mut conn, &keys, &settings, &orphans).await?;
            }
            RedisResult::Ok(())
        };
        if let Err(error) = round.await {
            debug!(error = %error, stage = %keys.stage, "janitor could not look; it tries again");
            server = Server::default();
        }
    }
}

/// The Redis that leases were last seen on.
#[derive(Default)]
struct Server {
    run_id: String,
    since: Option<Instant>,
}

impl Server {
    /// Whether lanes have had time to beat since this process and Redis last met.
    async fn is_settled(&mut self, conn: &mut ConnectionManager, lease: Duration) -> RedisResult<bool> {
        let info: InfoDict = ::redis::cmd("INFO").arg("server").query_async(conn).await?;
        let run_id: String = info.get("run_id").unwrap_or_default();
        let uptime = Duration::from_secs(info.get("uptime_in_seconds").unwrap_or(0));
        if run_id != self.run_id {
            *self = Self { run_id, since: Some(Instant::now()) };
        }
        // One and a half heartbeats, which are a third of a lease apart.
        Ok(self.since.is_some_and(|since| since.elapsed() >= lease / 2) && uptime > lease)
    }
}

async fn reap_expired(
    conn: &mut ConnectionManager,
    keys: &StageKeys,
    settings: &LaneSettings,
) -> RedisResult<()> {
    let (seconds, micros): (u64, u64) = ::redis::cmd("TIME").query_async(conn).await?;
    let now_ms = seconds * 1000 + micros / 1000;
    let expired: Vec<String> = conn.zrangebyscore_limit(&keys.lease, "-inf", now_ms, 0, PAGE).await?;
    for wid in expired {
        if let Some(entries) = scripts::reap(conn, keys, &wid, settings.janitor.policy(), false).await? {
            warn!(stage = %keys.stage, wid, entries, "lane is dead; its entries are back on the queue");
        }
    }
    Ok(())
}

/// Lists that have entries but no lease: of the original's workers, or after somebody deleted the leases. One that is seen
/// in two sweeps is reaped; the first might be a lane between two scripts.
async fn sweep(
    conn: &mut ConnectionManager,
    keys: &StageKeys,
    settings: &LaneSettings,
    before: &HashSet<String>,
) -> RedisResult<HashSet<String>> {
    let prefix = format!("{}:", keys.processing_prefix);
    let mut cursor = 0_u64;
    let mut seen = HashSet::new();
    loop {
        let (next, lists): (u64, Vec<String>) = ::redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(1000)
            .query_async(conn)
            .await?;
        for wid in lists.iter().filter_map(|list| list.strip_prefix(&prefix)) {
            let leased: Option<f64> = conn.zscore(&keys.lease, wid).await?;
            let beating: bool = conn.exists(keys.heartbeat(wid)).await?;
            if leased.is_some() || beating {
                continue;
            }
            if !before.contains(wid) {
                seen.insert(wid.to_owned());
            } else if let Some(entries) =
                scripts::reap(conn, keys, wid, settings.janitor.policy(), false).await?
            {
                warn!(stage = %keys.stage, wid, entries, "list without an owner; its entries are back on the queue");
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(seen);
        }
    }
}

/// Takes back at once what an earlier life of this pod held: pod names are unique, so that life is over.
///
/// Two processes that share a name by mistake lose no entry by this: the fenced one drops its results.
pub(super) async fn reap_predecessors(
    conn: &mut ConnectionManager,
    keys: &StageKeys,
    settings: &LaneSettings,
) {
    let result: RedisResult<()> = async {
        let wids: Vec<String> = conn.zrange(&keys.lease, 0, -1).await?;
        for wid in wids {
            let pod = wid.rsplitn(3, '.').nth(2).unwrap_or_default();
            if pod != settings.pod_name {
                continue;
            }
            if let Some(entries) = scripts::reap(conn, keys, &wid, settings.janitor.policy(), true).await? {
                info!(stage = %keys.stage, wid, entries, "took over from this pod's earlier life");
            }
        }
        Ok(())
    }
    .await;
    if let Err(error) = result {
        debug!(error = %error, stage = %keys.stage, "earlier life not looked for; its leases run out by themselves");
    }
}
