//! One typed function per Lua file of the delivery protocol; the only module that loads them.
//!
//! Every function may be called again with the same arguments after a lost answer: the scripts see to that.
//! Arguments and return codes are described in each script's header.

use std::sync::LazyLock;

use ::redis::{
    FromRedisValue, RedisError, RedisResult, Script, ScriptInvocation, Value, aio::ConnectionLike,
};

use super::keys::{DEDUP_ALERTS, LEDGER, StageKeys};

macro_rules! script {
    ($name:ident, $file:literal) => {
        #[doc = concat!("`lua/", $file, "`.")]
        #[expect(clippy::disallowed_methods, reason = "the one place that loads scripts")]
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("../../lua/", $file))));
    };
}

script!(REGISTER, "register.lua");
script!(BEAT, "beat.lua");
script!(CLAIM, "claim.lua");
script!(COMPLETE, "complete.lua");
script!(RELEASE, "release.lua");
script!(REAP, "reap.lua");
script!(REINJECT, "reinject.lua");
script!(ENQUEUE, "enqueue.lua");
script!(LEDGER_READ, "ledger.lua");

/// What [`claim`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Entries, oldest first, each with how many processes died holding it.
    Batch(Vec<(Vec<u8>, u32)>),
    /// Nothing waits; the next delayed entry is due in this many ms, if there is one.
    Empty { next_due_ms: Option<u64> },
    /// The downstream queue is at its cap.
    Blocked,
    /// The lease was taken away and the batch given to others.
    Fenced,
    /// Redis does not know the lane: it went back in time or was emptied.
    Lost,
    /// A newer or unfinished batch is held: the caller's own count is wrong.
    OutOfStep,
}

/// What [`complete`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// Applied now, or by an earlier call whose answer was lost.
    Applied,
    /// The lease was taken away; nothing was changed.
    Fenced,
    /// Redis does not know the lane or the batch; nothing was changed.
    Lost,
    /// The lane holds a newer batch; nothing was changed.
    Stale,
}

/// How much a lane may take at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Most entries.
    pub max: usize,
    /// A batch is closed by the entry that reaches this size.
    pub max_bytes: usize,
    /// Lease of the lane, renewed by the claim.
    pub lease_ms: u64,
    /// Most delayed entries brought back first.
    pub promote: usize,
    /// Nothing is taken while the downstream queue is this long; 0 for no cap.
    pub downstream_cap: usize,
}

/// Makes a lane known and alive.
///
/// # Errors
/// The Redis error; call again.
pub async fn register<C: ConnectionLike + Send + Sync>(
    conn: &mut C,
    keys: &StageKeys,
    wid: &str,
    lease_ms: u64,
) -> RedisResult<()> {
    let mut call = REGISTER.prepare_invoke();
    call.key(&keys.lease).key(&keys.batch).key(keys.heartbeat(wid));
    call.arg(wid).arg(lease_ms).arg(heartbeat_ttl_secs(lease_ms)).invoke_async(conn).await
}

/// Renews leases; returns the lanes that have none any more.
///
/// # Errors
/// The Redis error; call again.
pub async fn beat<C: ConnectionLike + Send + Sync>(
    conn: &mut C,
    keys: &StageKeys,
    wids: &[String],
    lease_ms: u64,
) -> RedisResult<Vec<String>> {
    let mut call = BEAT.prepare_invoke();
    call.key(&keys.lease);
    for wid in wids {
        call.key(keys.heartbeat(wid));
    }
    call.arg(lease_ms).arg(heartbeat_ttl_secs(lease_ms));
    for wid in wids {
        call.arg(wid);
    }
    call.invoke_async(conn).await
}

/// The call that claims batch number `seq`; for [`crate::queue`] to send alone or behind a completion.
pub(crate) fn claim_call(
    keys: &StageKeys,
    wid: &str,
    seq: u64,
    limits: &ClaimLimits,
) -> ScriptInvocation<'static> {
    let mut call = CLAIM.prepare_invoke();
    call.key(&keys.queue).key(keys.processing(wid)).key(&keys.lease).key(&keys.batch).key(&keys.fenced);
    call.key(&keys.delayed).key(&keys.reclaims).key(&keys.downstream).key(LEDGER);
    let nonce = uuid::Uuid::now_v7().as_hyphenated().to_string();
    call.arg(wid)
        .arg(seq)
        .arg(limits.max)
        .arg(limits.lease_ms)
        .arg(limits.promote)
        .arg(limits.downstream_cap);
    call.arg(nonce.get(..32).unwrap_or_default()).arg(limits.max_bytes).arg(&keys.stage);
    call
}

/// Reads the answer to [`claim_call`].
pub(crate) fn claim_answer(value: Value) -> RedisResult<Claimed> {
    let mut parts = Vec::<Value>::from_redis_value(value)?.into_iter();
    let mut next = || parts.next().unwrap_or(Value::Nil);
    let word = String::from_redis_value(next())?;
    Ok(match word.as_str() {
        "OK" => {
            let entries = Vec::<Vec<u8>>::from_redis_value(next())?;
            let reclaims = Vec::<u32>::from_redis_value(next())?;
            Claimed::Batch(entries.into_iter().zip(reclaims).collect())
        }
        // Oldest first, as in a first answer: the list's head is its newest entry.
        "AGAIN" => {
            let entries = Vec::<Vec<u8>>::from_redis_value(next())?;
            Claimed::Batch(entries.into_iter().rev().map(|entry| (entry, 0)).collect())
        }
        "EMPTY" => Claimed::Empty { next_due_ms: u64::try_from(i64::from_redis_value(next())?).ok() },
        "BLOCKED" => Claimed::Blocked,
        "FENCED" => Claimed::Fenced,
        "LOST" => Claimed::Lost,
        _ => Claimed::OutOfStep,
    })
}

/// Takes batch number `seq` for a lane.
///
/// # Errors
/// The Redis error; call again with the same `seq`.
pub async fn claim<C: ConnectionLike + Send + Sync>(
    conn: &mut C,
    keys: &StageKeys,
    wid: &str,
    seq: u64,
    limits: &ClaimLimits,
) -> RedisResult<Claimed> {
    claim_answer(claim_call(keys, wid, seq, limits).invoke_async(conn).await?)
}

/// Reads the answer to a completion.
pub(crate) fn complete_answer(value: Value) -> RedisResult<Completed> {
    Ok(match String::from_redis_value(value)?.as_str() {
        "OK" | "DONE" => Completed::Applied,
        "FENCED" => Completed::Fenced,
        "LOST" => Completed::Lost,
        _ => Completed::Stale,
    })
}

/// The call that finishes batch number `seq`; `settle` adds shapes and operations.
pub(crate) fn complete_call(
    keys: &StageKeys,
    wid: &str,
    seq: u64,
    dedup_window_ms: u64,
    settle: &crate::queue::Settlement,
) -> ScriptInvocation<'static> {
    let mut call = COMPLETE.prepare_invoke();
    call.key(keys.processing(wid)).key(&keys.lease).key(&keys.batch).key(&keys.fenced).key(&keys.reclaims);
    call.key(&keys.downstream)
        .key(&keys.delayed)
        .key(&keys.dead_letters)
        .key(DEDUP_ALERTS)
        .key(LEDGER)
        .key(&keys.queue);
    call.arg(wid)
        .arg(seq)
        .arg(dedup_window_ms)
        .arg(&keys.stage)
        .arg(&keys.downstream_stage)
        .arg(&keys.dead_stage);
    settle.write(&mut call, keys.outcome);
    call
}

/// Finishes batch number `seq`.
///
/// # Errors
/// The Redis error; call again with the same arguments.
pub async fn complete<C: ConnectionLike + Send + Sync>(
    conn: &mut C,
    keys: &StageKeys,
    wid: &str,
    seq: u64,
    dedup_window_ms: u64,
    settle: &crate::queue::Settlement,
) -> RedisResult<Completed> {
    complete_answer(complete_call(keys, wid, seq, dedup_window_ms, settle).invoke_async(conn).await?)
}

/// Gives a batch back unchanged; returns how many entries, or `None` when the lane no longer owned it.
///
/// # Errors
/// The Redis error; call again.
pub async fn release<C: ConnectionLike + Send + Sync>(
    conn: &mut C,
    keys: &StageKeys,
    wid: &str,
    seq: u64,
    deregister: bool,
) -> RedisResult<Option<usize>> {
    let mut call = RELEASE.prepare_invoke();
    call.key(keys.processing(wid)).key(&keys.lease).key(&keys.batch).key(&keys.fenced).key(&keys.queue);
    call.key(keys.heartbeat(wid)).arg(wid).arg(seq).arg(u8::from(deregister));
    let (word, given_back): (String, usize) = call.invoke_async(conn).await?;
    Ok((word == "OK").then_some(given_back))
}

/// What the janitor does with entries whose process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReapPolicy {
    /// Deaths after which an entry is a dead letter.
    pub max_reclaims: u32,
    /// Wait before the second redelivery; doubles with each death.
    pub backoff_ms: u64,
}

/// Fences a dead lane and gives its batch back; `None` when it is alive. `force` when the owner is known to be gone.
///
/// # Errors
/// The Redis error; call again.
pub async fn reap<C: ConnectionLike + Send + Sync>(
    conn: &mut C,
    keys: &StageKeys,
    wid: &str,
    policy: ReapPolicy,
    force: bool,
) -> RedisResult<Option<usize>> {
    let mut call = REAP.prepare_invoke();
    call.key(&keys.lease).key(&keys.batch).key(&keys.fenced).key(keys.processing(wid)).key(&keys.queue);
    call.key(&keys.delayed).key(&keys.reclaims).key(&keys.dead_letters).key(keys.heartbeat(wid)).key(LEDGER);
    call.arg(wid).arg(policy.max_reclaims).arg(policy.backoff_ms).arg(u8::from(force));
    call.arg(&keys.stage).arg(&keys.dead_stage);
    let (word, entries): (String, usize) = call.invoke_async(conn).await?;
    Ok((word == "REAPED").then_some(entries))
}

/// Puts entries back that Redis forgot; `entries` oldest first.
///
/// # Errors
/// The Redis error; calling again may double entries, which the audit key absorbs.
pub async fn reinject<C: ConnectionLike + Send + Sync>(
    conn: &mut C,
    keys: &StageKeys,
    entries: &[&[u8]],
) -> RedisResult<usize> {
    let mut call = REINJECT.prepare_invoke();
    call.key(&keys.queue).key(LEDGER).arg(&keys.stage);
    for entry in entries {
        call.arg(*entry);
    }
    call.invoke_async(conn).await
}

/// Whether Redis refused because it is full, so that nothing was applied.
#[must_use]
pub fn is_out_of_memory(error: &RedisError) -> bool {
    error.code() == Some("OOM")
}

fn heartbeat_ttl_secs(lease_ms: u64) -> u64 {
    lease_ms.div_ceil(1000).max(1)
}

/// Loads the scripts that lanes send in pipelines, which cannot load them by themselves.
///
/// # Errors
/// The Redis error; call again.
pub(crate) async fn load_lane_scripts<C: ConnectionLike + Send + Sync>(conn: &mut C) -> RedisResult<()> {
    for script in [&COMPLETE, &CLAIM] {
        script.load_async(conn).await?;
    }
    Ok(())
}
