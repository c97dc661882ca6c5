//! Every Redis key of MUTT, by the original's names.
//!
//! Scripts get all their keys from here; no other module spells one.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// Ids of alerts pushed lately, so that a redelivered event pushes its alert once.
pub const DEDUP_ALERTS: &str = "mutt:dedup:alerts";
/// The counters that [`crate::queue::ledger`] balances.
pub const LEDGER: &str = "mutt:ledger";
/// Prefix of live settings.
pub const CONFIG_PREFIX: &str = "mutt:config";
/// Channel on which a changed live setting is named.
pub const CONFIG_UPDATES: &str = "mutt:config:updates";
/// Events whose process or replay budget is spent; emptied by people only.
pub const DLQ_DEAD: &str = "mutt:dlq:dead";
/// Prefix of the counters of unhandled message shapes.
pub const UNHANDLED_PREFIX: &str = "mutt:unhandled";

/// The counters of accepted events for the minute, the hour and the day of `at` (UTC).
#[must_use]
pub fn window_counters(prefix: &str, at: DateTime<Utc>) -> [String; 3] {
    [
        format!("{prefix}:1m:{}", at.format("%Y-%m-%dT%H:%M")),
        format!("{prefix}:1h:{}", at.format("%Y-%m-%dT%H")),
        format!("{prefix}:24h:{}", at.format("%Y-%m-%d")),
    ]
}

/// Where the last verdict of an ingest stream is kept.
#[must_use]
pub fn ingest_stream(stream: &str) -> String {
    format!("mutt:ingest:seq:{stream}")
}

/// Where the id of the first event with this idempotency key is kept.
///
/// The key is hashed: it is the sender's text, of any length and content.
#[must_use]
pub fn idempotency(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let mut name = String::with_capacity(10 + 32);
    name.push_str("mutt:idem:");
    for byte in digest.iter().take(16) {
        // Writing into a String cannot fail.
        let _infallible = write!(name, "{byte:02x}");
    }
    name
}

/// The counter of one shape of unhandled message on one host, and the mark that it has fired.
#[must_use]
pub fn unhandled(prefix: &str, host: &str, shape: &str) -> [String; 2] {
    let counter = format!("{prefix}:{host}:{shape}");
    let triggered = format!("{counter}:triggered");
    [counter, triggered]
}

/// The names that one stage of the pipeline works with.
///
/// A stage takes from `queue`, puts effects on `downstream` and what cannot be helped on `dead_letters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageKeys {
    /// The stage's name in keys and in the ledger: `alerter`, `moog`, `dlq_alerter`, `dlq_moog`.
    pub stage: String,
    /// The ledger's name for the stage behind `downstream`; empty when there is none.
    pub downstream_stage: String,
    /// The ledger's name for the stage behind `dead_letters`.
    pub dead_stage: String,
    /// The ledger's word for an entry that the stage acknowledged: `handled`, `delivered`.
    pub outcome: &'static str,
    /// Producers push left, the stage takes from the right.
    pub queue: String,
    /// Where [`crate::queue::Settlement::push`] goes.
    pub downstream: String,
    /// Where dead letters go.
    pub dead_letters: String,
    /// `<prefix>:<wid>` is the batch that a lane holds.
    pub processing_prefix: String,
    /// `<prefix>:<wid>` is alive while its lane is.
    pub heartbeat_prefix: String,
    /// Lane id to deadline, Redis time in ms.
    pub lease: String,
    /// Lane id to the sequence number of its last batch.
    pub batch: String,
    /// Lane ids whose lease was taken away, to when.
    pub fenced: String,
    /// Entries to try again, to when.
    pub delayed: String,
    /// Entry id to how many processes died holding it.
    pub reclaims: String,
}

impl StageKeys {
    /// A stage with the original's key names; the alerter is `alerter`, the forwarder `moog`.
    #[must_use]
    pub fn new(
        stage: &str,
        outcome: &'static str,
        queue: &str,
        downstream: (&str, &str),
        dead_letters: (&str, &str),
    ) -> Self {
        let key = |kind: &str| format!("mutt:{kind}:{stage}");
        Self {
            stage: stage.to_owned(),
            downstream_stage: downstream.0.to_owned(),
            dead_stage: dead_letters.0.to_owned(),
            outcome,
            queue: queue.to_owned(),
            downstream: downstream.1.to_owned(),
            dead_letters: dead_letters.1.to_owned(),
            processing_prefix: key("processing"),
            heartbeat_prefix: key("heartbeat"),
            lease: key("lease"),
            batch: key("batch"),
            fenced: key("fenced"),
            delayed: key("delayed"),
            reclaims: key("reclaims"),
        }
    }

    /// The list that holds a lane's batch.
    #[must_use]
    pub fn processing(&self, wid: &str) -> String {
        format!("{}:{wid}", self.processing_prefix)
    }

    /// The key that shows people that a lane is alive.
    #[must_use]
    pub fn heartbeat(&self, wid: &str) -> String {
        format!("{}:{wid}", self.heartbeat_prefix)
    }
}

/// The pipeline's stages under configurable queue names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Ingest queue to alert queue.
    pub alerter: StageKeys,
    /// Alert queue to Moogsoft.
    pub moog: StageKeys,
    /// The alerter's dead letters back to the ingest queue.
    pub dlq_alerter: StageKeys,
    /// The forwarder's dead letters back to the alert queue.
    pub dlq_moog: StageKeys,
}

/// The names that settings may change.
#[derive(Debug, Clone, Copy)]
pub struct QueueNames<'a> {
    /// `INGEST_QUEUE_NAME`.
    pub ingest: &'a str,
    /// `ALERT_QUEUE_NAME`.
    pub alert: &'a str,
    /// `ALERTER_DLQ_NAME`.
    pub dlq_alerter: &'a str,
    /// `MOOG_DLQ_NAME`.
    pub dlq_moog: &'a str,
}

impl Default for QueueNames<'_> {
    fn default() -> Self {
        Self {
            ingest: "mutt:ingest_queue",
            alert: "mutt:alert_queue",
            dlq_alerter: "mutt:dlq:alerter",
            dlq_moog: "mutt:dlq:moog",
        }
    }
}

impl Pipeline {
    /// The stages, chained by these queues.
    #[must_use]
    pub fn new(names: QueueNames<'_>) -> Self {
        Self {
            alerter: StageKeys::new(
                "alerter",
                "handled",
                names.ingest,
                ("moog", names.alert),
                ("dlq_alerter", names.dlq_alerter),
            ),
            // The forwarder's downstream is Moogsoft; the key is never written.
            moog: StageKeys::new(
                "moog",
                "delivered",
                names.alert,
                ("", "mutt:none"),
                ("dlq_moog", names.dlq_moog),
            ),
            dlq_alerter: StageKeys::new(
                "dlq_alerter",
                "discarded",
                names.dlq_alerter,
                ("alerter", names.ingest),
                ("dead", DLQ_DEAD),
            ),
            dlq_moog: StageKeys::new(
                "dlq_moog",
                "discarded",
                names.dlq_moog,
                ("moog", names.alert),
                ("dead", DLQ_DEAD),
            ),
        }
    }

    /// All stages, in the order in which events pass them.
    #[must_use]
    pub fn stages(&self) -> [&StageKeys; 4] {
        [&self.alerter, &self.moog, &self.dlq_alerter, &self.dlq_moog]
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new(QueueNames::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_original() {
        let pipeline = Pipeline::default();
        assert_eq!(pipeline.alerter.processing("pod.1"), "mutt:processing:alerter:pod.1");
        assert_eq!(pipeline.moog.heartbeat("pod.1"), "mutt:heartbeat:moog:pod.1");
        assert_eq!(pipeline.alerter.downstream, pipeline.moog.queue);
        let at = DateTime::parse_from_rfc3339("2026-11-23T21:59:57Z").unwrap().to_utc();
        assert_eq!(
            window_counters("mutt:metrics", at),
            [
                "mutt:metrics:1m:2026-11-23T21:59",
                "mutt:metrics:1h:2026-11-23T21",
                "mutt:metrics:24h:2026-11-23"
            ]
        );
        assert_eq!(unhandled(UNHANDLED_PREFIX, "sw1", "ab")[1], "mutt:unhandled:sw1:ab:triggered");
    }

    #[test]
    fn an_idempotency_key_of_any_content_becomes_a_short_name() {
        let name = idempotency("\u{1f600}\r\n".repeat(1000).as_str());
        assert_eq!(name.len(), 42);
        assert_ne!(name, idempotency("other"));
    }
}
