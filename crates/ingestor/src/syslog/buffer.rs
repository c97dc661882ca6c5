//! The bounded hand-over from syslog sockets to Redis.
//!
//! Syslog senders get no answer, so nothing here is refused once it was taken: a batch is asked for until Redis has it,
//! however long Redis is full or away. What is taken is bounded instead. TCP waits for room, and with it its sender;
//! UDP cannot wait and counts what it has to drop.

use std::{sync::Arc, time::Duration};

use mutt_core::{
    domain::{clock::Clock, event::EventSource},
    queue::{Enqueued, Enqueuer, Item},
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    cap::QueueCap,
    metrics::Metrics,
    stream::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS},
};

/// What an event takes beside its payload: the item itself and allocator overhead.
const ITEM_OVERHEAD: usize = 128;
/// Room is counted in units of this many bytes.
const UNIT: usize = 1024;
/// First and longest pause while the queue is full.
const FULL_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A batch is asked for until it is answered: giving up would make its fate unknown and the next try a duplicate.
const FOREVER: Duration = Duration::MAX;

/// Events on their way to the buffer, with their size.
#[derive(Debug, Default)]
pub(crate) struct Handful {
    items: Vec<Item>,
    bytes: usize,
}

impl Handful {
    pub(crate) fn add(&mut self, item: Item) {
        self.bytes += item.payload.len() + ITEM_OVERHEAD;
        self.items.push(item);
    }

    /// Whether it is time to hand over, so that a few bytes on the wire cannot become much in memory.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= MAX_BATCH_EVENTS || self.bytes >= MAX_BATCH_BYTES / 4
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[derive(Debug)]
struct Held {
    items: Vec<Item>,
    /// Room that is free again when Redis has the items.
    room: OwnedSemaphorePermit,
}

/// One kind of listener's share of the buffer; cheap to clone. The streams end when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Buffer {
    inbox: mpsc::UnboundedSender<Held>,
    room: Arc<Semaphore>,
    units: u32,
}

/// The other end, shared by the streams.
#[derive(Debug, Clone)]
pub(crate) struct Taken(Arc<Mutex<mpsc::UnboundedReceiver<Held>>>);

/// A buffer with room for `bytes` of events.
pub(crate) fn channel(bytes: usize) -> (Buffer, Taken) {
    // Unbounded, as the room is what bounds it.
    let (inbox, taken) = mpsc::unbounded_channel();
    let (room, units) = room(bytes);
    (Buffer { inbox, room, units }, Taken(Arc::new(Mutex::new(taken))))
}

fn room(bytes: usize) -> (Arc<Semaphore>, u32) {
    let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
    (Arc::new(Semaphore::new(units as usize)), units)
}

impl Buffer {
    /// Another share of its own size onto the same streams, so that listeners cannot fill each other's.
    pub(crate) fn share(&self, bytes: usize) -> Self {
        let (room, units) = room(bytes);
        Self { inbox: self.inbox.clone(), room, units }
    }

    /// Waits for room and hands over. Returns `false` when the streams have stopped.
    pub(crate) async fn put(&self, handful: Handful) -> bool {
        let units = self.units_of(&handful);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(units).await else { return false };
        self.inbox.send(Held { items: handful.items, room }).is_ok()
    }

    /// Hands over if there is room; else the events are gone, and how many is returned.
    pub(crate) fn try_put(&self, handful: Handful) -> Result<(), u64> {
        let units = self.units_of(&handful);
        let count = handful.items.len() as u64;
        let room = Arc::clone(&self.room).try_acquire_many_owned(units).map_err(|_| count)?;
        self.inbox.send(Held { items: handful.items, room }).map_err(|_| count)
    }

    fn units_of(&self, handful: &Handful) -> u32 {
        // One handful may be larger than all the room; it then waits until it is alone.
        u32::try_from(handful.bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units)
    }
}

#[cfg(test)]
impl Taken {
    /// Everything that was handed over and not taken yet.
    pub(crate) async fn events(&self) -> Vec<bytes::Bytes> {
        let mut taken = self.0.lock().await;
        let mut events = Vec::new();
        while let Ok(held) = taken.try_recv() {
            events.extend(held.items.into_iter().map(|item| item.payload));
        }
        events
    }
}

/// What a stream works with.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) taken: Taken,
    pub(crate) cap: QueueCap,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    /// Ends the patience: the process has to go, stored or not.
    pub(crate) aborting: CancellationToken,
}

impl Stream {
    /// Runs until nobody can hand over any more and Redis has all that was, or until `aborting`.
    pub(crate) async fn run(self, mut enqueuer: Enqueuer) {
        let mut waiting: Vec<Held> = Vec::new();
        loop {
            if self.taken.0.lock().await.recv_many(&mut waiting, MAX_BATCH_EVENTS).await == 0 {
                return;
            }
            let mut left = waiting.drain(..).peekable();
            while left.peek().is_some() {
                let (items, rooms) = gather(&mut left);
                let stored = tokio::select! {
                    () = self.store(&mut enqueuer, &items) => true,
                    () = self.aborting.cancelled() => false,
                };
                drop(rooms);
                if !stored {
                    let lost =
                        items.len() + left.map(|held| held.items.len()).sum::<usize>() + self.rest().await;
                    self.metrics.syslog_lost.inc_by(lost as u64);
                    error!(events = lost, "{lost} syslog events were not stored in time and are lost");
                    return;
                }
            }
            drop(left);
        }
    }

    /// Asks until Redis has the batch.
    async fn store(&self, enqueuer: &mut Enqueuer, items: &[Item]) {
        let mut pause = FULL_PAUSE.0;
        let mut full = false;
        loop {
            match enqueuer.enqueue(items, self.cap.get(), self.clock.now(), FOREVER).await {
                Ok(Enqueued::Stored { .. }) => {
                    self.metrics.events(EventSource::Syslog).inc_by(items.len() as u64);
                    if full {
                        info!("the ingest queue takes syslog events again");
                    }
                    return;
                }
                Ok(Enqueued::Full { depth }) if !full => {
                    full = true;
                    warn!(depth, "the ingest queue is full: syslog senders have to wait, and UDP will lose");
                }
                Err(error) if !full => {
                    full = true;
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "Redis takes no syslog events; asking again"
                    );
                }
                Ok(Enqueued::Full { .. }) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(FULL_PAUSE.1);
        }
    }

    /// Counts what nobody will take any more.
    async fn rest(&self) -> usize {
        let mut taken = self.taken.0.lock().await;
        let mut count = 0;
        while let Ok(held) = taken.try_recv() {
            count += held.items.len();
        }
        count
    }
}

/// Takes whole handfuls up to the limits of a batch, but at least one.
fn gather(
    left: &mut std::iter::Peekable<impl Iterator<Item = Held>>,
) -> (Vec<Item>, Vec<OwnedSemaphorePermit>) {
    let mut items: Vec<Item> = Vec::new();
    let mut rooms = Vec::new();
    let mut bytes = 0;
    let size = |held: &Held| held.items.iter().map(|item| item.payload.len()).sum::<usize>();
    while let Some(held) = left.next_if(|next| {
        items.is_empty()
            || (items.len() + next.items.len() <= MAX_BATCH_EVENTS && bytes + size(next) <= MAX_BATCH_BYTES)
    }) {
        bytes += size(&held);
        rooms.push(held.room);
        if items.is_empty() {
            items = held.items;
        } else {
            items.extend(held.items);
        }
    }
    (items, rooms)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mutt_core::domain::event::EventId;
    use uuid::Uuid;

    use super::*;

    fn handful(events: usize, bytes: usize) -> Handful {
        let mut handful = Handful::default();
        for _ in 0..events {
            let payload = Bytes::from(vec![b'x'; bytes]);
            handful.add(Item { id: EventId::from(Uuid::nil()), payload, idempotency_key: None });
        }
        handful
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_or_waits() {
        let (udp, taken) = channel(8 * UNIT);
        let tcp = udp.share(4 * UNIT);
        assert_eq!(udp.try_put(handful(4, 1500)), Ok(()));
        assert_eq!(udp.try_put(handful(3, 1500)), Err(3));
        assert!(tcp.put(handful(1, 100)).await, "the other share has its own room");
        let waiting = tcp.put(handful(4, 1000));
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let held = taken.0.lock().await.recv().await.unwrap();
        drop(held);
        assert_eq!(udp.try_put(handful(3, 1500)), Ok(()), "room is free again");
        drop(taken.0.lock().await.recv().await);
        assert!(waiting.await);
    }

    #[tokio::test]
    async fn a_handful_larger_than_all_room_goes_alone() {
        let (buffer, taken) = channel(4 * UNIT);
        assert_eq!(buffer.try_put(handful(1, 100 * UNIT)), Ok(()));
        assert_eq!(buffer.try_put(handful(1, 1)), Err(1));
        drop(taken.0.lock().await.recv().await);
        assert_eq!(buffer.try_put(handful(1, 1)), Ok(()));
    }

    #[test]
    fn a_handful_is_full_by_count_or_size() {
        assert!(!handful(10, 100).is_full());
        assert!(handful(MAX_BATCH_EVENTS, 1).is_full());
        assert!(handful(3, MAX_BATCH_BYTES / 4).is_full());
    }
}
