//! Numbers and states in words. Pure.

use chrono::{DateTime, Utc};

use super::{Level, Notice};
use crate::sampler::Seen;

/// How long an entry may wait before people should know: the pipeline works in milliseconds.
const OLD_SECS: f64 = 60.0;

/// What needs attention, worst first; nothing means all clear.
pub(super) fn notices(seen: &Seen, is_database_there: bool, now: DateTime<Utc>) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut say = |level, text: String| notices.push(Notice { level, text });
    if let Some(since) = seen.failing_since {
        let last = seen.last.as_ref().map_or_else(
            || "No numbers are known.".to_owned(),
            |sample| format!("The numbers below are from {} UTC.", sample.at.format("%H:%M:%S")),
        );
        let secs = (now - since).num_milliseconds().max(0);
        #[expect(clippy::cast_precision_loss, reason = "an age of 285 years is still exact")]
        let secs = secs as f64 / 1000.0;
        say(Level::Critical, format!("Redis has not answered for {}. {last}", age(secs)));
    }
    if !is_database_there {
        say(
            Level::Critical,
            "PostgreSQL does not answer: no rule can be changed, and the last events are not shown."
                .to_owned(),
        );
    }
    let Some(sample) = &seen.last else { return notices };
    let imbalance = sample.ledger.imbalance();
    if imbalance != 0 {
        say(
            Level::Critical,
            format!(
                "The ledger is out of balance by {imbalance}: entries were lost, doubled, or pushed from outside."
            ),
        );
    }
    for stage in &sample.depths.stages {
        let waits_long = stage.oldest_age_secs.is_some_and(|secs| secs >= OLD_SECS);
        if stage.stage.starts_with("dlq_") {
            if stage.waiting > 0 {
                say(Level::Warning, format!("{}: {} wait.", stage_name(&stage.stage), count(stage.waiting)));
            }
        } else if stage.lanes == 0 && stage.waiting > 0 {
            say(
                Level::Critical,
                format!(
                    "{}: {} wait, and nobody works on them.",
                    stage_name(&stage.stage),
                    count(stage.waiting)
                ),
            );
        } else if let (true, Some(oldest)) = (waits_long, stage.oldest_age_secs) {
            say(
                Level::Warning,
                format!(
                    "{}: the oldest of {} has waited for {}.",
                    stage_name(&stage.stage),
                    count(stage.waiting),
                    age(oldest)
                ),
            );
        }
    }
    if sample.depths.dead > 0 {
        say(
            Level::Warning,
            format!("{}: {} wait for a decision.", stage_name("dead"), count(sample.depths.dead)),
        );
    }
    notices.sort_by_key(|notice| notice.level != Level::Critical);
    notices
}

/// What people call a stage.
pub(super) fn stage_name(stage: &str) -> &str {
    match stage {
        "alerter" => "Alerter",
        "moog" => "Forwarder",
        "dlq_alerter" => "Dead letters of the alerter",
        "dlq_moog" => "Dead letters of the forwarder",
        "dead" => "Given up for good",
        other => other,
    }
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            // A narrow space that does not break.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A rate, with a fraction only when it is small.
pub(super) fn rate(rate: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are neither negative nor large"
    )]
    let whole = rate.round() as u64;
    if rate < 10.0 && rate.fract() != 0.0 { format!("{rate:.1}") } else { count(whole) }
}

/// A time span in its largest fitting unit.
pub(super) fn age(secs: f64) -> String {
    match secs {
        secs if secs < 1.0 => "under 1 s".to_owned(),
        secs if secs < 120.0 => format!("{secs:.0} s"),
        secs if secs < 7200.0 => format!("{:.0} min", secs / 60.0),
        secs if secs < 172_800.0 => format!("{:.0} h", secs / 3600.0),
        secs => format!("{:.0} days", secs / 86_400.0),
    }
}

/// What people call a counter of the ledger; the others say it themselves.
fn counter_name(counter: &str) -> &str {
    match counter {
        "in" => "queued",
        "foreign" => "pushed by others",
        "reinjected" => "put back",
        other => other,
    }
}

/// Counters in one line: `handled 10, unhandled 2`.
pub(super) fn outcomes(counters: &[(String, i64)]) -> String {
    let shown: Vec<String> = counters
        .iter()
        .filter(|(_, number)| *number != 0)
        .map(|(name, number)| (counter_name(name), number))
        .map(|(name, number)| match u64::try_from(*number) {
            Ok(number) => format!("{name} {}", count(number)),
            Err(_) => format!("{name} {number}"),
        })
        .collect();
    if shown.is_empty() { "0".to_owned() } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable_at_any_size() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(rate(0.5), "0.5");
        assert_eq!(rate(12_345.0), "12\u{202f}345");
        assert_eq!(
            [0.2, 59.0, 600.0, 90_000.0, 300_000.0].map(age),
            ["under 1 s", "59 s", "10 min", "25 h", "3 days"]
        );
        let counters = [("in".to_owned(), 1000), ("foreign".to_owned(), 0)];
        assert_eq!(outcomes(&counters), "queued 1\u{202f}000");
    }

    #[test]
    fn silence_is_not_all_clear() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        assert_eq!(notices(&Seen::default(), true, now), []);
        let failing = Seen { last: None, failing_since: Some(now - chrono::TimeDelta::seconds(30)) };
        let said = notices(&failing, false, now);
        assert_eq!(said.len(), 2);
        assert!(said[0].text.contains("30 s") && said[0].level == Level::Critical, "{said:?}");
    }
}
