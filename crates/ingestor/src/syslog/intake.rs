//! What all syslog listeners share: who may send, how long a message may be, and how it becomes an event.

use std::{net::IpAddr, sync::Arc};

use mutt_core::{domain::clock::Clock, queue::Item};

use super::{event::event_of, framing::Frame};
use crate::{metrics::Metrics, sources::AllowedSources};

/// Makes events of messages; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    inner: Arc<Inner>,
}

struct Inner {
    max_bytes: usize,
    sources: AllowedSources,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// A sender, with its address as text: made once per connection or run of datagrams, not per event.
#[derive(Debug)]
pub(crate) struct Peer {
    address: IpAddr,
    text: String,
}

impl Peer {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self { address, text: address.to_canonical().to_string() }
    }

    pub(crate) fn become_if_other(&mut self, address: IpAddr) {
        if self.address != address {
            *self = Self::new(address);
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl Intake {
    pub(crate) fn new(
        max_bytes: usize,
        sources: AllowedSources,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { inner: Arc::new(Inner { max_bytes, sources, clock, metrics }) }
    }

    /// Messages are cut here.
    pub(crate) fn max_bytes(&self) -> usize {
        self.inner.max_bytes
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Whether this address may send; one that may not is counted.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        let allowed = self.inner.sources.allow(address);
        if !allowed {
            self.inner.metrics.source_refused.inc();
        }
        allowed
    }

    /// Makes the event of a message that was just received.
    pub(crate) fn event(&self, frame: &Frame<'_>, peer: &Peer) -> Item {
        let made = event_of(frame, peer.as_str(), self.inner.clock.now());
        if made.unparsed {
            self.inner.metrics.syslog_unparsed.inc();
        }
        if frame.cut.is_some() {
            self.inner.metrics.syslog_cut.inc();
        }
        made.item
    }
}
