//! The queues and how a stage takes from them.

use std::time::Duration;

use super::{Reader, process};
use crate::redis::keys::{Pipeline, QueueNames};

/// Names of the queues, by which all services must find each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// `POD_NAME`.
    pub pod_name: String,
    /// From ingestor to alerter.
    pub ingest: String,
    /// From alerter to forwarder.
    pub alert: String,
    /// The alerter's dead letters.
    pub dlq_alerter: String,
    /// The forwarder's dead letters.
    pub dlq_moog: String,
    alerter_prefixes: Prefixes,
    moog_prefixes: Prefixes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Prefixes {
    processing: String,
    heartbeat: String,
}

impl QueueSettings {
    /// Reads the section `queue`.
    pub fn read(reader: &mut Reader) -> Self {
        reader.section("queue");
        let names = QueueNames::default();
        Self {
            pod_name: process::pod_name(reader),
            ingest: reader.text("INGEST_QUEUE_NAME", names.ingest, "List of events for the alerter"),
            alert: reader.text("ALERT_QUEUE_NAME", names.alert, "List of alerts for the forwarder"),
            dlq_alerter: reader.text(
                "ALERTER_DLQ_NAME",
                names.dlq_alerter,
                "List of the alerter's dead letters",
            ),
            dlq_moog: reader.text("MOOG_DLQ_NAME", names.dlq_moog, "List of the forwarder's dead letters"),
            alerter_prefixes: Prefixes {
                processing: reader.text(
                    "ALERTER_PROCESSING_LIST_PREFIX",
                    "mutt:processing:alerter",
                    "Beginning of the names of the lists that hold what alerters have in hand",
                ),
                heartbeat: reader.text(
                    "ALERTER_HEARTBEAT_PREFIX",
                    "mutt:heartbeat:alerter",
                    "Beginning of the names of the keys that show which alerters live",
                ),
            },
            moog_prefixes: Prefixes {
                processing: reader.text(
                    "MOOG_PROCESSING_LIST_PREFIX",
                    "mutt:processing:moog",
                    "Beginning of the names of the lists that hold what forwarders have in hand",
                ),
                heartbeat: reader.text(
                    "MOOG_HEARTBEAT_PREFIX",
                    "mutt:heartbeat:moog",
                    "Beginning of the names of the keys that show which forwarders live",
                ),
            },
        }
    }

    /// The stages under these names.
    #[must_use]
    pub fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::new(QueueNames {
            ingest: &self.ingest,
            alert: &self.alert,
            dlq_alerter: &self.dlq_alerter,
            dlq_moog: &self.dlq_moog,
        });
        for (stage, prefixes) in
            [(&mut pipeline.alerter, &self.alerter_prefixes), (&mut pipeline.moog, &self.moog_prefixes)]
        {
            stage.processing_prefix.clone_from(&prefixes.processing);
            stage.heartbeat_prefix.clone_from(&prefixes.heartbeat);
        }
        pipeline
    }
}

/// How one stage takes its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSettings {
    /// Batches in hand at once.
    pub lanes: usize,
    /// Most entries in a batch.
    pub batch: usize,
    /// A lane that is silent for longer loses its batch.
    pub lease: Duration,
    /// Between two signs of life.
    pub heartbeat: Duration,
    /// Tries after the first.
    pub max_retries: u32,
}

/// The settings of one stage and their defaults.
struct StageKeys {
    section: &'static str,
    lanes: (&'static str, usize),
    batch: (&'static str, usize),
    lease: &'static str,
    heartbeat: &'static str,
    max_retries: (&'static str, u32),
}

impl StageSettings {
    /// Reads the alerter's.
    pub fn alerter(reader: &mut Reader) -> Self {
        Self::read(
            reader,
            &StageKeys {
                section: "alerter",
                lanes: ("ALERTER_LANES", 4),
                batch: ("ALERTER_BATCH_SIZE", 128),
                lease: "ALERTER_JANITOR_TIMEOUT",
                heartbeat: "ALERTER_HEARTBEAT_INTERVAL",
                max_retries: ("ALERTER_MAX_RETRIES", 3),
            },
        )
    }

    /// Reads the forwarder's; one alert per batch, as each is a request of its own.
    pub fn moog(reader: &mut Reader) -> Self {
        Self::read(
            reader,
            &StageKeys {
                section: "moog",
                lanes: ("MOOG_LANES", 64),
                batch: ("MOOG_BATCH_SIZE", 1),
                lease: "MOOG_JANITOR_TIMEOUT",
                heartbeat: "MOOG_HEARTBEAT_INTERVAL",
                max_retries: ("MOOG_MAX_RETRIES", 5),
            },
        )
    }

    fn read(reader: &mut Reader, keys: &StageKeys) -> Self {
        reader.section(keys.section);
        let settings = Self {
            lanes: reader.number(
                keys.lanes.0,
                keys.lanes.1,
                1..=256,
                "Batches in hand at once, in one process",
            ),
            batch: reader.number(keys.batch.0, keys.batch.1, 1..=10_000, "Most entries in a batch"),
            lease: reader.seconds(
                keys.lease,
                30,
                3..=3600,
                "A worker that is silent for longer loses what it has in hand to others",
            ),
            heartbeat: reader.seconds(keys.heartbeat, 10, 1..=1200, "Between two signs of life of a worker"),
            max_retries: reader.number(
                keys.max_retries.0,
                keys.max_retries.1,
                0..=1000,
                "Tries after the first",
            ),
        };
        // Two beats must fit, so that one that is lost is not a death.
        if settings.heartbeat * 2 > settings.lease {
            reader.problem(keys.heartbeat, format!("must be at most half of {}", keys.lease));
        }
        settings
    }
}
