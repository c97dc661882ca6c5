//! A received message on its way through the queues.
//!
//! On the wire an event is one JSON object: first the fields that only MUTT writes (they begin with `_`, and
//! `_id` is always first, so that scripts read the id by its position), then the sender's fields as the sender
//! wrote them. [`EventWriter`] makes that object, once, at ingest; [`Event`] is the alerter's view of it. Nothing
//! in between decodes it, and no sender can set a reserved field.

mod decode;
mod severity;
mod time;
mod writer;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::{
    decode::{DecodeError, Event},
    severity::SyslogSeverity,
    time::{EventTime, TIMESTAMP_FUTURE_LIMIT, TIMESTAMP_PAST_LIMIT, event_time},
    writer::{EventHeader, EventWriter, replace_nul},
};

/// The longest host name that is kept, in bytes; the audit table's column is as wide (RFC 1035: 255 octets).
pub const HOSTNAME_MAX_BYTES: usize = 255;

/// Identifies one accepted event for good: a `UUIDv7` made at ingest, so ids sort by acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id for an event received at `received_at`; unique across processes.
    #[must_use]
    pub fn new(received_at: DateTime<Utc>) -> Self {
        let seconds = u64::try_from(received_at.timestamp()).unwrap_or(0);
        let stamp =
            uuid::Timestamp::from_unix(uuid::NoContext, seconds, received_at.timestamp_subsec_nanos());
        Self(Uuid::new_v7(stamp))
    }

    /// The id as a UUID, for the database.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }

    /// When the id was made, to the millisecond; `None` when it is not a `UUIDv7`.
    #[must_use]
    pub fn made_at(self) -> Option<DateTime<Utc>> {
        let (seconds, nanos) = self.0.get_timestamp().filter(|_| self.0.get_version_num() == 7)?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }
}

impl From<Uuid> for EventId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The door an event came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventSource {
    /// `POST /ingest`.
    Http,
    /// Syslog over UDP, TCP or TLS.
    Syslog,
    /// An SNMP trap or inform.
    Snmp,
}

impl EventSource {
    /// Every source, for metrics that must start at zero.
    pub const ALL: [Self; 3] = [Self::Http, Self::Syslog, Self::Snmp];

    /// The word on the wire and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Syslog => "syslog",
            Self::Snmp => "snmp",
        }
    }

    /// The source a word names, or `None`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == word)
    }
}

/// What MUTT had to change or guess about an event; listed in `_flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flag {
    /// The sender gave no time: the time of receipt counts.
    TimestampMissing,
    /// The sender's time could not be read: the time of receipt counts.
    TimestampUnreadable,
    /// The sender's time lies too far back or ahead: the time of receipt counts.
    TimestampOutOfRange,
    /// The message was longer than the limit and was cut.
    MessageCut,
    /// The host name was longer than [`HOSTNAME_MAX_BYTES`] and was cut.
    HostnameCut,
    /// No host name was given: the peer's address stands in.
    HostnameFromPeer,
    /// The bytes were not syslog as any known device sends it.
    SyslogUnparsed,
    /// The bytes were not UTF-8; `_raw_base64` has them.
    NotUtf8,
    /// `syslog_severity` was neither a number from 0 to 7 nor a known word.
    SeverityUnreadable,
    /// NUL characters were replaced (PostgreSQL text cannot hold them).
    NulReplaced,
}

impl Flag {
    /// The word in `_flags`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TimestampMissing => "timestamp_missing",
            Self::TimestampUnreadable => "timestamp_unreadable",
            Self::TimestampOutOfRange => "timestamp_out_of_range",
            Self::MessageCut => "message_cut",
            Self::HostnameCut => "hostname_cut",
            Self::HostnameFromPeer => "hostname_from_peer",
            Self::SyslogUnparsed => "syslog_unparsed",
            Self::NotUtf8 => "not_utf8",
            Self::SeverityUnreadable => "severity_unreadable",
            Self::NulReplaced => "nul_replaced",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_remembers_when_it_was_made() {
        let at = DateTime::from_timestamp_millis(1_763_000_000_123).unwrap();
        let id = EventId::new(at);
        assert_eq!(id.made_at(), Some(at));
        assert_eq!(id.to_string().len(), 36);
        assert_eq!(EventId::from(Uuid::nil()).made_at(), None);
    }

    #[test]
    fn source_words_round_trip() {
        for source in EventSource::ALL {
            assert_eq!(EventSource::from_word(source.as_str()), Some(source));
        }
        assert_eq!(EventSource::from_word("pigeon"), None);
    }
}
