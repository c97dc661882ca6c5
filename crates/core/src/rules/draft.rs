//! A rule as somebody wants to save it. Whatever passes [`RuleDraft::validate`] can match; nothing else may be stored.

mod check;

use serde::{Deserialize, Serialize};

use self::check::{Check, given};
use crate::domain::{
    event::SyslogSeverity,
    rule::{DEFAULT_PRIORITY, Handling, MatchType, Rule},
};

/// The longest text, pattern or OID of a rule, in characters; the columns are as wide.
pub const PATTERN_MAX_CHARS: usize = 255;
/// The longest name, in characters.
const NAME_MAX_CHARS: usize = 200;
/// The longest description, in characters.
const DESCRIPTION_MAX_CHARS: usize = 2000;

/// Unchecked fields of a rule, named as in the API. A missing field has the schema's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleDraft {
    /// A short name for people.
    pub name: Option<String>,
    /// Why the rule exists.
    pub description: Option<String>,
    /// `contains`, `regex` or `oid_prefix`.
    pub match_type: String,
    /// The text or pattern of a `contains` or `regex` rule.
    pub match_string: Option<String>,
    /// The prefix of an `oid_prefix` rule.
    pub trap_oid: Option<String>,
    /// 0 to 7.
    pub syslog_severity: Option<i64>,
    /// Lower wins.
    pub priority: i64,
    /// For hosts that are not development hosts.
    pub prod_handling: String,
    /// For development hosts.
    pub dev_handling: String,
    /// Who is told.
    pub team_assignment: String,
    /// 0 to 5.
    pub moog_severity: Option<i64>,
    /// Whether the rule takes part.
    pub is_active: bool,
}

impl Default for RuleDraft {
    fn default() -> Self {
        Self {
            name: None,
            description: None,
            match_type: MatchType::Contains.as_str().into(),
            match_string: None,
            trap_oid: None,
            syslog_severity: None,
            priority: i64::from(DEFAULT_PRIORITY),
            prod_handling: String::new(),
            dev_handling: String::new(),
            team_assignment: String::new(),
            moog_severity: None,
            is_active: true,
        }
    }
}

impl From<&Rule> for RuleDraft {
    /// The draft that changes nothing: a partial update starts from it.
    fn from(rule: &Rule) -> Self {
        Self {
            name: rule.name.clone(),
            description: rule.description.clone(),
            match_type: rule.match_type.as_str().into(),
            match_string: rule.match_string.clone(),
            trap_oid: rule.trap_oid.clone(),
            syslog_severity: rule.syslog_severity.map(|severity| severity.get().into()),
            priority: rule.priority.into(),
            prod_handling: rule.prod_handling.as_str().into(),
            dev_handling: rule.dev_handling.as_str().into(),
            team_assignment: rule.team_assignment.clone(),
            moog_severity: rule.moog_severity.map(i64::from),
            is_active: rule.is_active,
        }
    }
}

/// A rule that may be stored: only [`RuleDraft::validate`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValidRule {
    /// A short name for people.
    pub name: Option<String>,
    /// Why the rule exists.
    pub description: Option<String>,
    /// How the rule looks at an event.
    pub match_type: MatchType,
    /// The text or pattern; `None` for an OID rule.
    pub match_string: Option<String>,
    /// The OID prefix as it was typed; `None` for other rules.
    pub trap_oid: Option<String>,
    /// The one severity that matches, if any.
    pub syslog_severity: Option<SyslogSeverity>,
    /// Lower wins.
    pub priority: i32,
    /// For hosts that are not development hosts.
    pub prod_handling: Handling,
    /// For development hosts.
    pub dev_handling: Handling,
    /// Who is told.
    pub team_assignment: String,
    /// 0 to 5.
    pub moog_severity: Option<u8>,
    /// Whether the rule takes part.
    pub is_active: bool,
}

impl ValidRule {
    /// The rule as a row with this id would hold it, so that it can be tried before it is saved.
    #[must_use]
    pub fn into_rule(self, id: i32) -> Rule {
        Rule {
            name: self.name,
            description: self.description,
            match_type: self.match_type,
            match_string: self.match_string,
            trap_oid: self.trap_oid,
            syslog_severity: self.syslog_severity,
            priority: self.priority,
            prod_handling: self.prod_handling,
            dev_handling: self.dev_handling,
            team_assignment: self.team_assignment,
            moog_severity: self.moog_severity,
            is_active: self.is_active,
            ..Rule::new(id)
        }
    }
}

/// What is wrong with one field of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// The field's name in the API.
    pub field: &'static str,
    /// What is wrong and what would be right, for the author of the rule.
    pub problem: String,
    /// The character of a pattern it is about, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl RuleDraft {
    /// Checks every field, and that the rule can match.
    ///
    /// # Errors
    /// Every problem at once, field by field; never empty.
    pub fn validate(&self) -> Result<ValidRule, Vec<FieldProblem>> {
        let mut check = Check::default();
        let match_type = check.match_type(&self.match_type);
        let match_string = given(self.match_string.as_deref());
        let trap_oid = given(self.trap_oid.as_deref());
        if let Some(match_type) = match_type {
            check.what_to_look_for(match_type, match_string, trap_oid);
        }
        let valid = ValidRule {
            name: check.words("name", self.name.as_deref(), NAME_MAX_CHARS),
            description: check.words("description", self.description.as_deref(), DESCRIPTION_MAX_CHARS),
            match_type: match_type.unwrap_or(MatchType::Contains),
            match_string: match_string.map(str::to_owned),
            trap_oid: trap_oid.map(|oid| oid.trim().to_owned()),
            syslog_severity: check.severity(self.syslog_severity),
            priority: check.priority(self.priority),
            prod_handling: check.handling("prod_handling", &self.prod_handling),
            dev_handling: check.handling("dev_handling", &self.dev_handling),
            team_assignment: check.required("team_assignment", &self.team_assignment),
            moog_severity: check.moog_severity(self.moog_severity),
            is_active: self.is_active,
        };
        check.verdict(valid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> RuleDraft {
        RuleDraft {
            match_string: Some("LINK-DOWN".into()),
            prod_handling: "Page_and_ticket".into(),
            dev_handling: "Ignore".into(),
            team_assignment: "NetOps".into(),
            ..RuleDraft::default()
        }
    }

    fn fields(draft: &RuleDraft) -> Vec<&'static str> {
        draft.validate().err().unwrap_or_default().iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn a_plain_rule_passes_and_keeps_its_words() {
        let rule = draft().validate().unwrap();
        assert_eq!(rule.prod_handling.as_str(), "Page_and_ticket");
        assert_eq!(RuleDraft::from(&rule.into_rule(1)), draft());
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let bad = RuleDraft {
            match_type: "exact".into(),
            syslog_severity: Some(8),
            priority: 1 << 40,
            prod_handling: "page_onyl".into(),
            dev_handling: String::new(),
            team_assignment: " ".into(),
            moog_severity: Some(-1),
            name: Some("x".repeat(201)),
            ..draft()
        };
        assert_eq!(
            fields(&bad),
            [
                "match_type",
                "name",
                "syslog_severity",
                "priority",
                "prod_handling",
                "dev_handling",
                "team_assignment",
                "moog_severity"
            ]
        );
    }

    #[test]
    fn a_rule_that_cannot_match_is_refused() {
        let regex = |pattern: &str| RuleDraft {
            match_type: "regex".into(),
            match_string: Some(pattern.into()),
            ..draft()
        };
        let oid = |oid: &str| RuleDraft {
            match_type: "oid_prefix".into(),
            match_string: None,
            trap_oid: Some(oid.into()),
            ..draft()
        };
        assert_eq!(fields(&RuleDraft { match_string: Some("  ".into()), ..draft() }), ["match_string"]);
        assert_eq!(fields(&RuleDraft { trap_oid: Some("1.3".into()), ..draft() }), ["trap_oid"]);
        assert_eq!(fields(&RuleDraft { match_string: Some("x".repeat(256)), ..draft() }), ["match_string"]);
        assert_eq!(fields(&regex("a(b")), ["match_string"]);
        assert_eq!(fields(&regex("(a{1000}){1000}")), ["match_string"]);
        assert_eq!(fields(&regex(r"(a)\1(?!b)")), [""; 0]);
        assert_eq!(fields(&oid("1.3.6.*")), [""; 0]);
        assert_eq!(fields(&oid(".")), ["trap_oid"]);
        assert_eq!(fields(&oid("iso.org")), ["trap_oid"]);
        assert_eq!(fields(&RuleDraft { match_string: Some("x".into()), ..oid("1.3") }), ["match_string"]);
        assert_eq!(fields(&RuleDraft { trap_oid: None, ..oid("1.3") }), ["trap_oid"]);
    }

    #[test]
    fn a_broken_pattern_is_shown_with_its_column() {
        let bad = RuleDraft { match_type: "regex".into(), match_string: Some("ab[c".into()), ..draft() };
        assert_eq!(bad.validate().unwrap_err()[0].column, Some(3));
    }
}
