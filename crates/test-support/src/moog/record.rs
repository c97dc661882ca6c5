//! What the stand-in remembers: exact counts of everything, and the last requests whole.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use axum::{body::Bytes, http::HeaderMap};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::wire::Dialect;

/// How many requests are kept whole: the memory of a long run stays flat.
const RECEIPTS_KEPT: usize = 50_000;
/// Bytes of bodies kept at most, whichever is reached first.
const BYTES_KEPT: usize = 128 << 20;
/// Ids remembered to tell copies by, at most: some 20 bytes each.
const IDS_KEPT: usize = 5_000_000;

/// One `POST` to an events path.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Counts up from 1 in order of receipt.
    pub number: u64,
    /// When its body was complete, since the start of the server.
    pub at: Duration,
    /// Which interface it came to.
    pub dialect: Dialect,
    /// The status answered, also when the answer was then kept from the sender.
    pub status: u16,
    /// Whether its events were taken in.
    pub accepted: bool,
    /// The request's headers, keys included.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Bytes,
}

/// What came in and what was answered, since the start; every number is exact.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Requests to the events paths.
    pub requests: u64,
    /// Answers by status.
    pub responses: BTreeMap<u16, u64>,
    /// Answers that were kept from the sender: reset, garbage, silence.
    pub answers_withheld: u64,
    /// Requests with no key or a wrong one.
    pub unauthorized: u64,
    /// Events taken in, copies included.
    pub accepted: u64,
    /// Accepted events with an `external_id` not seen before.
    pub unique: u64,
    /// Accepted events with an `external_id` seen before.
    pub duplicates: u64,
    /// Accepted events without an `external_id`.
    pub without_id: u64,
    /// Accepted events that came after the memory for ids was full: unique or copies, nobody knows.
    pub untracked: u64,
    /// Most requests in any stretch of time of `window_ms`.
    pub peak_requests: usize,
    /// The length of that stretch.
    pub window_ms: u64,
    /// When the server started.
    pub started_at: DateTime<Utc>,
    /// When the first request came, in ms since then.
    pub first_ms: Option<u64>,
    /// When the last request came, in ms since then.
    pub last_ms: Option<u64>,
}

/// The memory of a server.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) stats: Stats,
    receipts: VecDeque<Receipt>,
    bytes: usize,
    ids: HashSet<u128>,
    window: Duration,
    arrivals: VecDeque<Duration>,
}

impl Receipt {
    /// The events in the body, as far as it can be read.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Array(events)) => events,
            Ok(Value::Object(mut object)) => match object.remove("events") {
                Some(Value::Array(events)) => events,
                _ => vec![Value::Object(object)],
            },
            _ => Vec::new(),
        }
    }

    /// A header as text; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Record {
    pub(super) fn new(started_at: DateTime<Utc>, window: Duration) -> Self {
        let stats = Stats { started_at, window_ms: millis(window), ..Stats::default() };
        Self {
            stats,
            receipts: VecDeque::new(),
            bytes: 0,
            ids: HashSet::new(),
            window,
            arrivals: VecDeque::new(),
        }
    }

    /// Notes that a request came in, whatever becomes of it, and numbers it.
    pub(super) fn arrived(&mut self, at: Duration) -> u64 {
        self.stats.requests += 1;
        self.stats.first_ms.get_or_insert(millis(at));
        self.stats.last_ms = Some(millis(at));
        while self.arrivals.front().is_some_and(|first| at.saturating_sub(*first) >= self.window) {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(at);
        self.stats.peak_requests = self.stats.peak_requests.max(self.arrivals.len());
        self.stats.requests
    }

    /// Takes one event in.
    pub(super) fn accept(&mut self, external_id: Option<&str>) {
        self.stats.accepted += 1;
        let Some(id) = external_id else {
            self.stats.without_id += 1;
            return;
        };
        let key = short(id);
        if self.ids.contains(&key) {
            self.stats.duplicates += 1;
        } else if self.ids.len() < IDS_KEPT {
            self.ids.insert(key);
            self.stats.unique += 1;
        } else {
            self.stats.untracked += 1;
        }
    }

    /// Keeps a request, at the cost of the oldest ones.
    pub(super) fn keep(&mut self, receipt: Receipt) {
        *self.stats.responses.entry(receipt.status).or_default() += 1;
        self.bytes += receipt.body.len();
        self.receipts.push_back(receipt);
        while self.receipts.len() > RECEIPTS_KEPT || self.bytes > BYTES_KEPT {
            let Some(oldest) = self.receipts.pop_front() else { break };
            self.bytes -= oldest.body.len();
        }
    }

    pub(super) fn receipts(&self) -> impl DoubleEndedIterator<Item = &Receipt> {
        self.receipts.iter()
    }
}

/// An id in 16 bytes: a UUID as it is, anything else hashed.
fn short(id: &str) -> u128 {
    if let Ok(uuid) = Uuid::try_parse(id) {
        return uuid.as_u128();
    }
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, id).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    (half(0) << 64) | half(1)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record::new(DateTime::default(), Duration::from_secs(1))
    }

    #[test]
    fn copies_are_told_from_first_ones() {
        let mut record = record();
        let uuid = Uuid::from_u128(7).to_string();
        for id in [Some("a"), Some("b"), Some("a"), None, Some(&uuid), Some(&uuid)] {
            record.accept(id);
        }
        let stats = &record.stats;
        assert_eq!((stats.accepted, stats.unique, stats.duplicates, stats.without_id), (6, 3, 2, 1));
    }

    #[test]
    fn the_peak_is_that_of_the_fullest_window() {
        let mut record = record();
        for at in [0, 900, 1_000, 1_100, 5_000] {
            record.arrived(Duration::from_millis(at));
        }
        // 0 ms and 1,000 ms are not in one half-open second.
        assert_eq!(record.stats.peak_requests, 3);
        assert_eq!((record.stats.first_ms, record.stats.last_ms), (Some(0), Some(5_000)));
    }
}
