//! Demo data: the rules, hosts and teams that the original shipped. Never part of a migration; only people ask for it.

use serde::Serialize;
use sqlx::PgPool;

use super::{Creation, DbError, hosts, rules, teams};
use crate::{
    domain::{
        audit::Author,
        rule::{MatchType, Rule},
    },
    rules::RuleDraft,
};

/// How many records [`demo`] added; all 0 when they were there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Seeded {
    /// Rules.
    pub rules: usize,
    /// Development hosts.
    pub hosts: usize,
    /// Teams.
    pub teams: usize,
}

/// Hosts whose events take the development handling.
const HOSTS: [&str; 3] = ["dev-router-01", "dev-switch-01", "lab-firewall-01"];
/// Hosts and who is told about their unhandled events.
const TEAMS: [(&str, &str); 4] = [
    ("core-router-01", "NetOps"),
    ("core-switch-01", "NetOps"),
    ("edge-firewall-01", "Security"),
    ("app-server-01", "NETO"),
];

/// Adds the demo data that is missing; what people changed or retired stays as it is.
///
/// # Errors
/// The database's; what was added before the failure stays, and a repeat adds the rest.
pub async fn demo(pool: &PgPool) -> Result<Seeded, DbError> {
    let author = Author { name: "mutt seed", reason: Some("demo data"), correlation_id: None };
    let mut seeded = Seeded::default();
    let present = rules::list(pool, rules::Which::All).await?;
    for draft in demo_rules() {
        if present.iter().any(|rule| looks_for_the_same(rule, &draft)) {
            continue;
        }
        let Ok(rule) = draft.validate() else {
            return Err(DbError::Unreadable {
                table: "demo data",
                key: draft.name.unwrap_or_default(),
                problem: "is not a valid rule".into(),
            });
        };
        rules::create(pool, &rule, author).await?;
        seeded.rules += 1;
    }
    for host in HOSTS {
        if matches!(hosts::create(pool, host, author).await?, Creation::Done(_)) {
            seeded.hosts += 1;
        }
    }
    for (host, team) in TEAMS {
        if matches!(teams::create(pool, host, team, author).await?, Creation::Done(_)) {
            seeded.teams += 1;
        }
    }
    Ok(seeded)
}

fn looks_for_the_same(rule: &Rule, draft: &RuleDraft) -> bool {
    rule.match_type.as_str() == draft.match_type
        && rule.match_string == draft.match_string
        && rule.trap_oid == draft.trap_oid
}

fn demo_rules() -> Vec<RuleDraft> {
    let text = |priority, text: &str, prod: &str, dev: &str, team: &str, name: &str| RuleDraft {
        name: Some(name.into()),
        match_type: MatchType::Contains.as_str().into(),
        match_string: Some(text.into()),
        priority,
        prod_handling: prod.into(),
        dev_handling: dev.into(),
        team_assignment: team.into(),
        ..RuleDraft::default()
    };
    let trap = RuleDraft {
        match_type: MatchType::OidPrefix.as_str().into(),
        match_string: None,
        trap_oid: Some(".1.3.6.1.4.1.9.9.41.2".into()),
        ..text(15, "", "Page_and_ticket", "Ignore", "NetOps", "Cisco syslog trap")
    };
    vec![
        text(5, "LINK-DOWN", "Page_and_ticket", "Ticket_only", "NetOps", "Link down"),
        text(10, "CRITICAL", "Page_and_ticket", "Ticket_only", "NETO", "Critical"),
        trap,
        text(20, "ERROR", "Ticket_only", "Ignore", "NETO", "Error"),
        text(50, "DOT1X-FIRMWARE-RUNNING", "Ticket_only", "Ignore", "Security", "802.1X firmware"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_demo_rule_could_be_saved_by_hand() {
        for draft in demo_rules() {
            assert_eq!(draft.validate().err(), None, "{draft:?}");
        }
    }
}
