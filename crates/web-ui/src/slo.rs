//! Objectives: what they are, how they are measured by Prometheus, and how they stand.
//!
//! Measuring happens in the background. A request never waits for Prometheus; what is not known is said to be unknown.

mod definitions;
mod measure;

use chrono::{DateTime, Utc};
use mutt_core::redis::live_settings::LiveSettings;
use serde::Serialize;

use self::definitions::{OBJECTIVES, Objective, Target};
pub(crate) use self::measure::Board;

/// How an objective stands, from best to worst; `Unknown` is not one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    /// Below the target, but slowly.
    Breaching,
    Warning,
    Critical,
    /// Nobody measured it.
    Unknown,
}

/// One objective as the API shows it; the original's fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Standing {
    slo_name: &'static str,
    description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_seconds: Option<f64>,
    window_hours: u64,
    actual_value: Option<f64>,
    status: State,
    error_budget_remaining: Option<f64>,
    burn_rate: Option<f64>,
    message: String,
}

/// All objectives at one moment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Standings {
    /// When they were measured; `None` when nobody did.
    pub(crate) timestamp: Option<DateTime<Utc>>,
    pub(crate) slos: Vec<Standing>,
}

/// Judges what was measured; `values` in the order of the objectives.
fn judge_all(
    live: &LiveSettings,
    timestamp: Option<DateTime<Utc>>,
    values: &[Result<f64, String>],
) -> Standings {
    let nobody = Err("no data from Prometheus".to_owned());
    let slos = OBJECTIVES
        .iter()
        .enumerate()
        .map(|(index, objective)| judge(objective, live, values.get(index).unwrap_or(&nobody)))
        .collect();
    Standings { timestamp, slos }
}

fn judge(objective: &Objective, live: &LiveSettings, actual: &Result<f64, String>) -> Standing {
    let warning = live.get_or(objective.warning, objective.warning.default_value());
    let critical = live.get_or(objective.critical, objective.critical.default_value());
    let mut standing = Standing {
        slo_name: objective.name,
        description: objective.description,
        target: None,
        target_seconds: None,
        window_hours: objective.window(live).as_secs() / 3600,
        actual_value: None,
        status: State::Unknown,
        error_budget_remaining: None,
        burn_rate: None,
        message: String::new(),
    };
    match objective.target {
        Target::Ratio(target) => standing.target = Some(target),
        Target::Seconds(target) => standing.target_seconds = Some(target),
    }
    let actual = match actual {
        Ok(actual) => *actual,
        Err(why) => {
            standing.message = format!("unknown: {why}");
            return standing;
        }
    };
    standing.actual_value = Some(actual);
    match objective.target {
        Target::Ratio(target) => {
            let burn = (1.0 - actual) / (1.0 - target);
            standing.burn_rate = Some(burn);
            standing.error_budget_remaining = Some((actual - target) / (1.0 - target));
            standing.status = state(burn, warning, critical, actual < target);
            standing.message = format!(
                "{:.3} % of at least {:.3} %; the error budget burns {burn:.2} times as fast as it may",
                actual * 100.0,
                target * 100.0
            );
        }
        Target::Seconds(target) => {
            standing.status = state(actual, warning, critical, actual > target);
            standing.message = format!("{actual:.3} s of at most {target:.3} s");
        }
    }
    standing
}

fn state(measure: f64, warning: f64, critical: f64, misses_target: bool) -> State {
    if measure >= critical {
        State::Critical
    } else if measure >= warning {
        State::Warning
    } else if misses_target {
        State::Breaching
    } else {
        State::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective(name: &str) -> &'static Objective {
        OBJECTIVES.iter().find(|objective| objective.name == name).unwrap()
    }

    fn status(name: &str, actual: f64) -> State {
        judge(objective(name), &LiveSettings::off(), &Ok(actual)).status
    }

    #[test]
    fn availability_is_judged_by_how_fast_its_budget_burns() {
        assert_eq!(status("ingestor_availability", 1.0), State::Ok);
        assert_eq!(status("ingestor_availability", 0.9985), State::Breaching);
        assert_eq!(status("ingestor_availability", 0.994), State::Warning);
        assert_eq!(status("ingestor_availability", 0.98), State::Critical);
        let standing = judge(objective("forwarder_availability"), &LiveSettings::off(), &Ok(0.9975));
        assert!((standing.burn_rate.unwrap() - 0.5).abs() < 1e-9);
        assert!((standing.error_budget_remaining.unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn latency_is_judged_by_its_bounds() {
        assert_eq!(status("ingestor_latency_p99", 0.4), State::Ok);
        assert_eq!(status("ingestor_latency_p99", 0.6), State::Breaching);
        assert_eq!(status("ingestor_latency_p99", 0.75), State::Warning);
        assert_eq!(status("ingestor_latency_p99", 1.0), State::Critical);
    }

    #[test]
    fn what_nobody_measured_is_unknown_and_not_critical() {
        let standings = judge_all(&LiveSettings::off(), None, &[]);
        assert_eq!(standings.slos.len(), 6);
        assert!(standings.slos.iter().all(|slo| slo.status == State::Unknown && slo.actual_value.is_none()));
    }
}
