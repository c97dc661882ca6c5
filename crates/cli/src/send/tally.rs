//! What became of the events of a run: counts, waiting times, and a receipt per event when asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::thousands;

/// The fate of one event, as far as its sender can know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Handed to the network; syslog gives no answer.
    Sent,
    /// MUTT said that it has it, under this id.
    Accepted {
        /// The event's id, when the answer had one.
        id: Option<String>,
    },
    /// MUTT said no, and will say so again.
    Refused {
        /// In MUTT's words.
        reason: String,
    },
    /// Nobody can say: the connection broke or time ran out.
    Failed {
        /// In the system's words.
        reason: String,
    },
}

#[derive(Serialize)]
struct Receipt<'a> {
    number: u64,
    #[serde(rename = "ref")]
    reference: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Counts of a run that goes on; shared by its connections.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sent: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
    reasons: Mutex<BTreeMap<String, u64>>,
    /// Time to each answer, in microseconds.
    waits: Mutex<Vec<u32>>,
    receipts: Option<Mutex<BufWriter<File>>>,
}

impl Tally {
    /// Counts only, or also a line of JSON per event in `receipts`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn new(receipts: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            File::create(path)
                .with_context(|| Exit::unavailable(format!("writing receipts to {}", path.display())))
        };
        let receipts = receipts.map(open).transpose()?.map(|file| Mutex::new(BufWriter::new(file)));
        Ok(Self { receipts, ..Self::default() })
    }

    /// Notes the fate of one event.
    ///
    /// # Errors
    /// When the receipt cannot be written: then the run must not go on as if there were one.
    pub(crate) fn record(&self, number: u64, reference: &str, fate: &Fate) -> anyhow::Result<()> {
        let (count, status, id, reason) = match fate {
            Fate::Sent => (&self.sent, "sent", None, None),
            Fate::Accepted { id } => (&self.accepted, "accepted", id.as_deref(), None),
            Fate::Refused { reason } => (&self.refused, "refused", None, Some(reason.as_str())),
            Fate::Failed { reason } => (&self.failed, "failed", None, Some(reason.as_str())),
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(reason) = reason {
            let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
            *reasons.entry(reason.to_owned()).or_default() += 1;
        }
        if let Some(receipts) = &self.receipts {
            let mut line = serde_json::to_vec(&Receipt { number, reference, status, id, reason })?;
            line.push(b'\n');
            let mut file = receipts.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(&line).context("writing a receipt")?;
        }
        Ok(())
    }

    /// Counts bytes that went out.
    pub(crate) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    /// Counts a request or connection that had to be made again.
    pub(crate) fn add_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how long an answer took.
    pub(crate) fn add_wait(&self, wait: Duration) {
        let micros = u32::try_from(wait.as_micros()).unwrap_or(u32::MAX);
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
    }

    /// How many events have their fate.
    pub(crate) fn done(&self) -> u64 {
        [&self.sent, &self.accepted, &self.refused, &self.failed]
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// Closes the receipts and sums up.
    ///
    /// # Errors
    /// When the last receipts cannot be written.
    pub(crate) fn report(&self, target: String, run: &str, took: Duration) -> anyhow::Result<Report> {
        if let Some(receipts) = &self.receipts {
            let mut file = receipts.lock().unwrap_or_else(PoisonError::into_inner);
            file.flush().context("writing the last receipts")?;
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        let done = self.done();
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waits.sort_unstable();
        Ok(Report {
            target,
            run: run.to_owned(),
            events: done,
            sent: read(&self.sent),
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            failed: read(&self.failed),
            retries: read(&self.retries),
            bytes: read(&self.bytes),
            seconds,
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            per_second: if seconds > 0.0 { done as f64 / seconds } else { 0.0 },
            answer_ms: (!waits.is_empty()).then(|| AnswerTimes {
                p50: percentile(&waits, 50),
                p95: percentile(&waits, 95),
                p99: percentile(&waits, 99),
                max: percentile(&waits, 100),
            }),
            reasons: self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}

/// In milliseconds, of a sorted, non-empty list of microseconds.
fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1;
    f64::from(sorted.get(index).copied().unwrap_or(0)) / 1000.0
}

/// How long MUTT took to answer, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerTimes {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    target: String,
    run: String,
    events: u64,
    sent: u64,
    accepted: u64,
    refused: u64,
    failed: u64,
    retries: u64,
    bytes: u64,
    seconds: f64,
    per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_ms: Option<AnswerTimes>,
    /// Why events were refused or failed, and how many for each reason.
    reasons: BTreeMap<String, u64>,
}

impl Report {
    /// Whether every event reached MUTT as far as one can know.
    pub(crate) fn is_complete(&self, wanted: u64) -> bool {
        self.refused == 0 && self.failed == 0 && self.events == wanted
    }

    /// The result in words.
    pub(crate) fn text(&self) -> String {
        let mut parts = Vec::new();
        for (count, word) in [
            (self.sent, "sent"),
            (self.accepted, "accepted"),
            (self.refused, "refused"),
            (self.failed, "failed"),
        ] {
            if count > 0 || (word == "accepted" && self.sent == 0) {
                parts.push(format!("{} {word}", thousands(count)));
            }
        }
        let mut lines = vec![format!(
            "{} to {} in {:.1} s ({:.0}/s)",
            parts.join(", "),
            self.target,
            self.seconds,
            self.per_second
        )];
        if let Some(AnswerTimes { p50, p95, p99, max }) = &self.answer_ms {
            lines.push(format!(
                "answers after {p50:.1} ms (median), {p95:.1} ms (95 %), {p99:.1} ms (99 %), {max:.1} ms (longest)"
            ));
        }
        if self.retries > 0 {
            lines.push(format!("{} tries had to be repeated", thousands(self.retries)));
        }
        lines
            .extend(self.reasons.iter().map(|(reason, count)| format!("{:>9}  {reason}", thousands(*count))));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_above() {
        let sorted: Vec<u32> = (1..=200).map(|n| n * 1000).collect();
        assert!((percentile(&sorted, 50) - 100.0).abs() < f64::EPSILON);
        assert!((percentile(&sorted, 99) - 198.0).abs() < f64::EPSILON);
        assert!((percentile(&[7000], 50) - 7.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_report_counts_fates_and_names_reasons() {
        let tally = Tally::new(None).unwrap();
        let id = Some("x".to_owned());
        tally.record(0, "r/0", &Fate::Accepted { id }).unwrap();
        tally.record(1, "r/1", &Fate::Refused { reason: "no host".into() }).unwrap();
        let report = tally.report("http://h".into(), "r", Duration::from_secs(2)).unwrap();
        assert!(!report.is_complete(2));
        assert_eq!(report.text(), "1 accepted, 1 refused to http://h in 2.0 s (1/s)\n        1  no host");
    }

    #[test]
    fn receipts_have_a_line_per_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts.ndjson");
        let tally = Tally::new(Some(&path)).unwrap();
        tally.record(4, "r/4", &Fate::Accepted { id: Some("01".into()) }).unwrap();
        tally.report(String::new(), "r", Duration::ZERO).unwrap();
        let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(line, serde_json::json!({"number": 4, "ref": "r/4", "status": "accepted", "id": "01"}));
    }
}
