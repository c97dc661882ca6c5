//! Wakes idle lanes when something is pushed, without ever taking it.
//!
//! One connection blocks in a move from a list's right end to its own right end, which Redis defines as leaving the list
//! as it is. It can fail without harm: lanes poll as well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::redis::{AsyncCommands, Direction, RedisResult, aio::MultiplexedConnection};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How long one blocking call waits in Redis; also how stale a lost connection can make the bell.
const BLOCK: Duration = Duration::from_secs(2);

/// Opens the connection that may block.
pub(super) type Connect = Arc<
    dyn Fn() -> futures_util::future::BoxFuture<'static, RedisResult<MultiplexedConnection>> + Send + Sync,
>;

/// The bell: idle lanes wait for it.
#[derive(Debug, Default)]
pub(super) struct Doorbell {
    ring: Notify,
    armed: Notify,
    waiting: AtomicUsize,
}

impl Doorbell {
    /// Waits for a ring, at most `limit`.
    pub(super) async fn wait(&self, limit: Duration) {
        let _waiting = Waiting::enter(&self.waiting);
        self.armed.notify_one();
        // A time-out is a wake-up too: delayed entries fall due without anybody pushing.
        let _woken = tokio::time::timeout(limit, self.ring.notified()).await;
    }

    /// Wakes one idle lane: called by a lane that took a full batch, as there is likely more.
    pub(super) fn pass_on(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.ring.notify_one();
        }
    }

    /// Listens on `queue` until `stop`, and only while a lane waits: on a queue that holds entries the call returns at
    /// once, and each return wakes one lane, so it cannot spin.
    pub(super) async fn run(&self, connect: Connect, queue: &str, stop: &CancellationToken) {
        let mut conn = None;
        let listen = async {
            loop {
                if self.waiting.load(Ordering::Relaxed) == 0 {
                    self.armed.notified().await;
                    continue;
                }
                match Self::block(&connect, &mut conn, queue).await {
                    Ok(true) => {
                        self.ring.notify_one();
                        // Let the woken lane count itself out before the next look.
                        tokio::task::yield_now().await;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        debug!(error = %error, queue, "doorbell lost its connection; lanes poll until it is back");
                        conn = None;
                        tokio::time::sleep(BLOCK).await;
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = listen => {}
        }
    }

    async fn block(
        connect: &Connect,
        conn: &mut Option<MultiplexedConnection>,
        queue: &str,
    ) -> RedisResult<bool> {
        let conn = match conn {
            Some(conn) => conn,
            None => conn.insert(connect().await?),
        };
        let there: Option<Vec<u8>> =
            conn.blmove(queue, queue, Direction::Right, Direction::Right, BLOCK.as_secs_f64()).await?;
        Ok(there.is_some())
    }
}

/// Counts a lane as idle for as long as it lives; dropped on every way out of the wait.
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
