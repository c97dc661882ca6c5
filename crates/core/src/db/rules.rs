//! Rules. A change is refused when somebody else came first, and is written to the configuration audit with it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::{
    Change, DbError,
    config_audit::{self, Entry},
};
use crate::{
    domain::{
        audit::{Author, Operation},
        event::SyslogSeverity,
        rule::{Handling, MatchType, Rule},
    },
    rules::ValidRule,
};

const TABLE: &str = "alert_rules";

struct RuleRow {
    id: i32,
    name: Option<String>,
    description: Option<String>,
    match_type: String,
    match_string: Option<String>,
    trap_oid: Option<String>,
    syslog_severity: Option<i32>,
    priority: i32,
    prod_handling: String,
    dev_handling: String,
    team_assignment: String,
    moog_severity: Option<i16>,
    is_active: bool,
    version: i32,
    created_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    updated_at: Option<DateTime<Utc>>,
    updated_by: Option<String>,
    archived_at: Option<DateTime<Utc>>,
}

impl TryFrom<RuleRow> for Rule {
    type Error = DbError;

    fn try_from(row: RuleRow) -> Result<Self, DbError> {
        let unreadable =
            |problem: String| DbError::Unreadable { table: TABLE, key: row.id.to_string(), problem };
        let match_type = MatchType::from_word(&row.match_type)
            .ok_or_else(|| unreadable(format!("match_type `{}`", row.match_type)))?;
        let syslog_severity = row
            .syslog_severity
            .map(|number| {
                u8::try_from(number)
                    .ok()
                    .and_then(SyslogSeverity::new)
                    .ok_or_else(|| unreadable(format!("syslog_severity {number}")))
            })
            .transpose()?;
        let moog_severity = row
            .moog_severity
            .map(|number| u8::try_from(number).map_err(|_| unreadable(format!("moog_severity {number}"))))
            .transpose()?;
        Ok(Self {
            id: row.id,
            name: row.name,
            description: row.description,
            match_type,
            match_string: row.match_string,
            trap_oid: row.trap_oid,
            syslog_severity,
            priority: row.priority,
            prod_handling: Handling::new(row.prod_handling),
            dev_handling: Handling::new(row.dev_handling),
            team_assignment: row.team_assignment,
            moog_severity,
            is_active: row.is_active,
            version: row.version,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
            updated_by: row.updated_by,
            archived_at: row.archived_at,
        })
    }
}

/// Which rules to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that can match.
    Active,
    /// Also those that are switched off.
    Current,
    /// Also those that are retired.
    All,
}

/// Reads the rules that can match, in order of (`priority`, `id`).
///
/// # Errors
/// The database's.
pub async fn list_active(executor: impl PgExecutor<'_>) -> Result<Vec<Rule>, DbError> {
    list(executor, Which::Active).await
}

/// Reads rules in order of (`priority`, `id`).
///
/// # Errors
/// The database's.
pub async fn list(executor: impl PgExecutor<'_>, which: Which) -> Result<Vec<Rule>, DbError> {
    let (off, retired) = (which != Which::Active, which == Which::All);
    let rows = sqlx::query_as!(
        RuleRow,
        "select
            id, name, description, match_type, match_string, trap_oid, syslog_severity, priority, prod_handling,
            dev_handling, team_assignment, moog_severity, is_active, version, created_at, created_by, updated_at,
            updated_by, archived_at
        from alert_rules
        where (is_active or $1) and (archived_at is null or $2)
        order by priority, id",
        off,
        retired
    )
    .fetch_all(executor)
    .await
    .map_err(DbError::during("reading rules"))?;
    rows.into_iter().map(Rule::try_from).collect()
}

/// Reads one rule, a retired one too.
///
/// # Errors
/// The database's.
pub async fn get(executor: impl PgExecutor<'_>, id: i32) -> Result<Option<Rule>, DbError> {
    let row = sqlx::query_as!(
        RuleRow,
        "select
            id, name, description, match_type, match_string, trap_oid, syslog_severity, priority, prod_handling,
            dev_handling, team_assignment, moog_severity, is_active, version, created_at, created_by, updated_at,
            updated_by, archived_at
        from alert_rules
        where id = $1",
        id
    )
    .fetch_optional(executor)
    .await
    .map_err(DbError::during("reading a rule"))?;
    row.map(Rule::try_from).transpose()
}

/// Stores a new rule.
///
/// # Errors
/// The database's; then nothing was stored.
pub async fn create(pool: &PgPool, rule: &ValidRule, author: Author<'_>) -> Result<Rule, DbError> {
    let action = "creating a rule";
    let mut transaction = pool.begin().await.map_err(DbError::during(action))?;
    let id = sqlx::query_scalar!(
        "insert into alert_rules (
            name, description, match_type, match_string, trap_oid, syslog_severity, priority, prod_handling,
            dev_handling, team_assignment, moog_severity, is_active, created_by, updated_by
        ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, left($13, 100), left($13, 100))
        returning id",
        rule.name,
        rule.description,
        rule.match_type.as_str(),
        rule.match_string,
        rule.trap_oid,
        rule.syslog_severity.map(|severity| i32::from(severity.get())),
        rule.priority,
        rule.prod_handling.as_str(),
        rule.dev_handling.as_str(),
        rule.team_assignment,
        rule.moog_severity.map(i16::from),
        rule.is_active,
        author.name
    )
    .fetch_one(&mut *transaction)
    .await
    .map_err(DbError::during(action))?;
    let created = after(&mut transaction, id, None, Operation::Create, author).await?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(created)
}

/// Changes a rule as a whole. With `expected`, only when it still has that version. A rule that says all this already
/// stays as it is, and nothing is audited.
///
/// # Errors
/// The database's; then nothing was changed.
pub async fn update(
    pool: &PgPool,
    id: i32,
    expected: Option<i32>,
    rule: &ValidRule,
    author: Author<'_>,
) -> Result<Change<Rule>, DbError> {
    let action = "changing a rule";
    let mut transaction = pool.begin().await.map_err(DbError::during(action))?;
    let Some((before, before_json)) = lock(&mut transaction, id).await? else {
        return Ok(Change::NotFound);
    };
    if expected.is_some_and(|version| version != before.version) {
        return Ok(Change::Conflict(before));
    }
    if is_same(&before, rule) {
        return Ok(Change::Done(before));
    }
    sqlx::query!(
        "update alert_rules set
            name = $2, description = $3, match_type = $4, match_string = $5, trap_oid = $6, syslog_severity = $7,
            priority = $8, prod_handling = $9, dev_handling = $10, team_assignment = $11, moog_severity = $12,
            is_active = $13, version = version + 1, updated_at = now(), updated_by = left($14, 100)
        where id = $1",
        id,
        rule.name,
        rule.description,
        rule.match_type.as_str(),
        rule.match_string,
        rule.trap_oid,
        rule.syslog_severity.map(|severity| i32::from(severity.get())),
        rule.priority,
        rule.prod_handling.as_str(),
        rule.dev_handling.as_str(),
        rule.team_assignment,
        rule.moog_severity.map(i16::from),
        rule.is_active,
        author.name
    )
    .execute(&mut *transaction)
    .await
    .map_err(DbError::during(action))?;
    let changed = after(&mut transaction, id, Some(before_json), Operation::Update, author).await?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(Change::Done(changed))
}

/// Retires a rule: it never matches again, and lists leave it out. It is never removed, because the audit may name it,
/// also through an event that is being decided at this moment.
///
/// # Errors
/// The database's; then nothing was changed.
pub async fn delete(
    pool: &PgPool,
    id: i32,
    expected: Option<i32>,
    author: Author<'_>,
) -> Result<Change<Rule>, DbError> {
    let action = "retiring a rule";
    let mut transaction = pool.begin().await.map_err(DbError::during(action))?;
    let Some((before, before_json)) = lock(&mut transaction, id).await? else {
        return Ok(Change::NotFound);
    };
    if expected.is_some_and(|version| version != before.version) {
        return Ok(Change::Conflict(before));
    }
    sqlx::query!(
        "update alert_rules set
            is_active = false, archived_at = now(), version = version + 1, updated_at = now(),
            updated_by = left($2, 100)
        where id = $1",
        id,
        author.name
    )
    .execute(&mut *transaction)
    .await
    .map_err(DbError::during(action))?;
    let retired = after(&mut transaction, id, Some(before_json), Operation::Delete, author).await?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(Change::Done(retired))
}

/// Locks a rule that is not retired; the lock goes with the transaction.
async fn lock(connection: &mut PgConnection, id: i32) -> Result<Option<(Rule, Value)>, DbError> {
    let json = sqlx::query_scalar!(
        r#"select to_jsonb(r) as "json!" from alert_rules r where id = $1 and archived_at is null for update"#,
        id
    )
    .fetch_optional(&mut *connection)
    .await
    .map_err(DbError::during("locking a rule"))?;
    let Some(json) = json else { return Ok(None) };
    Ok(get(connection, id).await?.map(|rule| (rule, json)))
}

/// Audits a change that was just made, and returns the rule as it is now.
async fn after(
    connection: &mut PgConnection,
    id: i32,
    old: Option<Value>,
    operation: Operation,
    author: Author<'_>,
) -> Result<Rule, DbError> {
    let new = sqlx::query_scalar!(r#"select to_jsonb(r) as "json!" from alert_rules r where id = $1"#, id)
        .fetch_one(&mut *connection)
        .await
        .map_err(DbError::during("reading a changed rule"))?;
    let entry = Entry {
        operation,
        table: TABLE,
        record_id: Some(id),
        record_key: &id.to_string(),
        old: old.as_ref(),
        new: (operation != Operation::Delete).then_some(&new),
    };
    config_audit::record(connection, author, entry).await?;
    get(connection, id).await?.ok_or(DbError::Vanished { count: 1 })
}

fn is_same(stored: &Rule, wanted: &ValidRule) -> bool {
    stored.name == wanted.name
        && stored.description == wanted.description
        && stored.match_type == wanted.match_type
        && stored.match_string == wanted.match_string
        && stored.trap_oid == wanted.trap_oid
        && stored.syslog_severity == wanted.syslog_severity
        && stored.priority == wanted.priority
        && stored.prod_handling == wanted.prod_handling
        && stored.dev_handling == wanted.dev_handling
        && stored.team_assignment == wanted.team_assignment
        && stored.moog_severity == wanted.moog_severity
        && stored.is_active == wanted.is_active
}
