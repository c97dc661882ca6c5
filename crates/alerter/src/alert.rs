//! The entries of the alert queue: one for an event that somebody must know of, one for a shape of message that nobody
//! wrote a rule for. Pure.

use std::time::Duration;

use mutt_core::{
    db::event_audit::StoredDecision,
    domain::{
        alert::{Alert, AlertId},
        event::{Event, SyslogSeverity},
    },
};
use serde_json::value::RawValue;

use crate::{
    decide::{Decision, cut},
    rule_set::Snapshot,
    signature,
};

/// The host of a meta-alert.
pub const META_ALERT_HOST: &str = "MUTT_Alerter";
/// The severity of an alert whose event has none, and of a meta-alert.
const DEFAULT_SEVERITY: &str = "warning";
/// How much of a sample message a meta-alert shows, in characters.
const SAMPLE_CHARS: usize = 200;

/// What an alert says about the rule that raised it, as the audit row has it.
#[derive(Debug, Clone, Copy)]
pub struct Raised<'a> {
    rule_id: i32,
    handling: &'a str,
    environment: &'a str,
    team: &'a str,
    moog_severity: Option<u8>,
}

impl<'a> Raised<'a> {
    /// What a fresh decision raises, or `None` when nobody is told.
    #[must_use]
    pub fn by_decision(decision: &Decision<'a>) -> Option<Self> {
        let (rule, handling) = (decision.rule?, decision.handling()?);
        handling.is_forwarding().then_some(Self {
            rule_id: rule.id,
            handling: handling.as_str(),
            environment: decision.environment.as_str(),
            team: &rule.team_assignment,
            moog_severity: rule.moog_severity,
        })
    }

    /// What an earlier row raises: it decided, whatever the rules say by now.
    #[must_use]
    pub fn by_earlier_row(stored: &'a StoredDecision, snapshot: &Snapshot) -> Option<Self> {
        let rule_id = stored.matched_rule_id.filter(|_| stored.forwarded_to_moog)?;
        // The row does not keep the override; the rule has it unless it changed meanwhile.
        let unchanged = snapshot
            .rules
            .rules()
            .find(|rule| rule.id == rule_id && Some(rule.version) == stored.rule_version);
        Some(Self {
            rule_id,
            handling: &stored.handling_decision,
            environment: stored.environment.as_deref().unwrap_or_default(),
            team: stored.team_assignment.as_deref().unwrap_or_default(),
            moog_severity: unchanged.and_then(|rule| rule.moog_severity),
        })
    }
}

/// The alert for an event.
#[must_use]
pub fn for_event(event: &Event<'_>, raised: &Raised<'_>) -> Alert {
    Alert {
        id: AlertId::for_event(event.id, raised.rule_id),
        correlation_id: event.correlation_id.clone().into_owned(),
        traceparent: event.traceparent.as_deref().map(str::to_owned),
        retry_count: 0,
        hostname: event.hostname.clone().into_owned(),
        team_assignment: raised.team.to_owned(),
        severity: event.severity.map_or(DEFAULT_SEVERITY, SyslogSeverity::word).to_owned(),
        moog_severity: raised.moog_severity,
        message_body: event.message.clone().into_owned(),
        handling_decision: raised.handling.to_owned(),
        environment: raised.environment.to_owned(),
        rule_id: Some(raised.rule_id),
        event_id: Some(event.id),
        event_timestamp: Some(event.event_time),
        signature: signature::of_event(event, raised.rule_id),
        unhandled_count: None,
        raw_json: raw(event),
    }
}

/// When unhandled messages become a meta-alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnhandledLimits {
    /// How many of one shape from one host.
    pub threshold: u64,
    /// Within how long; and how long until the same shape may alert again.
    pub expiry: Duration,
}

/// The meta-alert for a shape of unhandled message, of which `sample` is one, should it be the one that is too many.
///
/// `window` tells one counting period from the next. The words are those that operators know from the original.
#[must_use]
pub fn for_unhandled(
    sample: &Event<'_>,
    shape: &str,
    window: &str,
    team: &str,
    environment: &str,
    limits: UnhandledLimits,
) -> Alert {
    let host = &sample.hostname;
    let signature = signature::of_unhandled(host, shape);
    Alert {
        id: AlertId::for_unhandled(&signature, window),
        correlation_id: sample.correlation_id.clone().into_owned(),
        traceparent: sample.traceparent.as_deref().map(str::to_owned),
        retry_count: 0,
        hostname: META_ALERT_HOST.to_owned(),
        team_assignment: team.to_owned(),
        severity: DEFAULT_SEVERITY.to_owned(),
        moog_severity: None,
        message_body: format!(
            "[MUTT] Detected {} unhandled messages in {}s from '{host}'. Sample message: {}",
            limits.threshold,
            limits.expiry.as_secs(),
            cut(&sample.message, SAMPLE_CHARS)
        ),
        handling_decision: mutt_core::domain::audit::UNHANDLED.to_owned(),
        environment: environment.to_owned(),
        rule_id: None,
        event_id: None,
        event_timestamp: Some(sample.event_time),
        signature,
        unhandled_count: None,
        raw_json: raw(sample),
    }
}

/// The event inside the alert, to the letter; it was read as JSON before, so it is.
fn raw(event: &Event<'_>) -> Option<Box<RawValue>> {
    RawValue::from_string(event.raw.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use mutt_core::domain::{
        event::EventId,
        host::Environment,
        rule::{Handling, Rule},
    };

    use super::*;

    const RAW: &str = r#"{"_id":"01920000-0000-7000-8000-000000000001","_received_at":"2025-11-13T02:13:20Z","_correlation_id":"req-1","_event_time":"2025-11-13T02:13:19Z","hostname":"sw1","message":"%LINK-3-UPDOWN: down","syslog_severity":3,"n":1.10}"#;

    fn rule() -> Rule {
        Rule {
            prod_handling: Handling::new("Page_and_ticket"),
            dev_handling: Handling::new("ignore"),
            team_assignment: "NetOps".into(),
            moog_severity: Some(5),
            version: 2,
            ..Rule::new(4)
        }
    }

    #[test]
    fn an_alert_says_what_the_rule_decided_and_carries_the_event_to_the_letter() {
        let event = Event::decode(RAW).unwrap();
        let rule = rule();
        let decision = Decision { environment: Environment::Production, rule: Some(&rule) };
        let alert = for_event(&event, &Raised::by_decision(&decision).unwrap());
        assert_eq!(alert.severity, "error");
        assert_eq!(
            (alert.handling_decision.as_str(), alert.environment.as_str()),
            ("Page_and_ticket", "prod")
        );
        assert_eq!((alert.rule_id, alert.moog_severity), (Some(4), Some(5)));
        assert_eq!(alert.signature, "sw1::LINK-3-UPDOWN::rule-4");
        assert_eq!(alert.raw_json.unwrap().get(), RAW);
        assert_eq!(alert.event_timestamp.unwrap().timestamp(), 1_762_999_999);

        let decision = Decision { environment: Environment::Development, rule: Some(&rule) };
        assert!(Raised::by_decision(&decision).is_none());
    }

    #[test]
    fn an_earlier_row_decides_even_when_the_rule_says_otherwise_by_now() {
        let stored = StoredDecision {
            outcome: mutt_core::domain::audit::Outcome::Handled,
            matched_rule_id: Some(9),
            rule_version: Some(1),
            handling_decision: "ticket_only".into(),
            forwarded_to_moog: true,
            environment: Some("prod".into()),
            team_assignment: Some("NETO".into()),
        };
        let event = Event::decode(RAW).unwrap();
        let alert = for_event(&event, &Raised::by_earlier_row(&stored, &Snapshot::default()).unwrap());
        assert_eq!((alert.rule_id, alert.team_assignment.as_str()), (Some(9), "NETO"));
        let audit_only = StoredDecision { forwarded_to_moog: false, ..stored };
        assert!(Raised::by_earlier_row(&audit_only, &Snapshot::default()).is_none());
    }

    #[test]
    fn a_meta_alert_reads_as_the_original_did_and_is_one_per_window() {
        let event = Event::decode(RAW).unwrap();
        let limits = UnhandledLimits { threshold: 100, expiry: Duration::from_hours(24) };
        let make = |window: &str| for_unhandled(&event, "0011223344556677", window, "NETO", "prod", limits);
        assert_eq!(
            make("1").message_body,
            "[MUTT] Detected 100 unhandled messages in 86400s from 'sw1'. Sample message: %LINK-3-UPDOWN: down"
        );
        assert_eq!(make("1").hostname, META_ALERT_HOST);
        assert_eq!(make("1").signature, "sw1::unhandled::0011223344556677");
        assert_eq!(make("1").id, make("1").id);
        assert_ne!(make("1").id, make("2").id);
        assert_ne!(make("1").id, AlertId::for_event(EventId::from(event.id.as_uuid()), 4));
    }
}
