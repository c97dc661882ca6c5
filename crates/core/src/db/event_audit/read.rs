//! Reading the event audit: newest first, by the time of receipt, page after page by key.

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    db::DbError,
    domain::{audit::Outcome, event::EventId},
};

/// One row of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// A number without gaps in time order only by chance; the key is (`received_at`, `event_id`).
    pub id: i64,
    /// The event.
    pub event_id: Uuid,
    /// When MUTT received it.
    pub received_at: DateTime<Utc>,
    /// When it happened.
    pub event_timestamp: DateTime<Utc>,
    /// The device.
    pub hostname: String,
    /// The rule that decided.
    pub matched_rule_id: Option<i32>,
    /// Its version then.
    pub rule_version: Option<i32>,
    /// What was decided.
    pub handling_decision: String,
    /// Whether that sends an alert.
    pub forwarded_to_moog: bool,
    /// `handled` or `unhandled`.
    pub outcome: String,
    /// `prod` or `dev`.
    pub environment: Option<String>,
    /// Who is told.
    pub team_assignment: Option<String>,
    /// `http`, `syslog` or `snmp`.
    pub source: Option<String>,
    /// Joins the event to its request.
    pub correlation_id: String,
    /// The event as it was queued.
    pub raw_message: String,
}

impl StoredEvent {
    /// The place of this row: a page that starts after it begins with the next older one.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { received_at: self.received_at, event_id: self.event_id }
    }
}

/// Which events to read; everything that is set must hold. Times are times of receipt: partitions are made by them, and
/// no device clock can hide an event.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The host's name, exactly as it was received.
    pub hostname: Option<String>,
    /// The rule that decided.
    pub rule_id: Option<i32>,
    /// What became of them.
    pub outcome: Option<Outcome>,
    /// Whether they were to become alerts.
    pub forwarded: Option<bool>,
    /// The earliest receipt, included.
    pub from: Option<DateTime<Utc>>,
    /// The latest receipt, included.
    pub until: Option<DateTime<Utc>>,
}

/// A place in the audit, as text `<microseconds>.<id>` for addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    received_at: DateTime<Utc>,
    event_id: Uuid,
}

/// A text that is no place in the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of an earlier answer")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.received_at.timestamp_micros(), self.event_id.simple())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (micros, id) = text.split_once('.').ok_or(CursorError)?;
        let micros = micros.parse().map_err(|_| CursorError)?;
        Ok(Self {
            received_at: DateTime::from_timestamp_micros(micros).ok_or(CursorError)?,
            event_id: Uuid::try_parse(id).map_err(|_| CursorError)?,
        })
    }
}

/// Reads events, newest first: those that are older than `after`, then `offset` further on. Cost grows with `offset`,
/// not with the place of `after`.
///
/// # Errors
/// The database's.
pub async fn page(
    pool: &PgPool,
    filter: &Filter,
    after: Option<Cursor>,
    offset: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, DbError> {
    let action = "reading the event audit";
    let mut transaction = planned(pool, action).await?;
    let rows = sqlx::query_as!(
        StoredEvent,
        "select
            id, event_id, received_at, event_timestamp, hostname, matched_rule_id, rule_version,
            handling_decision, forwarded_to_moog, outcome, environment, team_assignment, source,
            correlation_id, raw_message
        from event_audit_log
        where ($1::text is null or hostname = $1)
            and ($2::int is null or matched_rule_id = $2)
            and ($3::text is null or outcome = $3)
            and ($4::bool is null or forwarded_to_moog = $4)
            and ($5::timestamptz is null or received_at >= $5)
            and ($6::timestamptz is null or received_at <= $6)
            and ($7::timestamptz is null or (received_at, event_id) < ($7, $8::uuid))
        order by received_at desc, event_id desc
        offset $9
        limit $10",
        filter.hostname,
        filter.rule_id,
        filter.outcome.map(Outcome::as_str),
        filter.forwarded,
        filter.from,
        filter.until,
        after.map(|cursor| cursor.received_at),
        after.map(|cursor| cursor.event_id),
        offset,
        limit
    )
    .fetch_all(&mut *transaction)
    .await
    .map_err(DbError::during(action))?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(rows)
}

/// Counts events, at most up to `cap`: an exact count of a large audit takes seconds.
///
/// # Errors
/// The database's.
pub async fn count_up_to(pool: &PgPool, filter: &Filter, cap: i64) -> Result<i64, DbError> {
    let action = "counting the event audit";
    let mut transaction = planned(pool, action).await?;
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
            select 1 as one
            from event_audit_log
            where ($1::text is null or hostname = $1)
                and ($2::int is null or matched_rule_id = $2)
                and ($3::text is null or outcome = $3)
                and ($4::bool is null or forwarded_to_moog = $4)
                and ($5::timestamptz is null or received_at >= $5)
                and ($6::timestamptz is null or received_at <= $6)
            limit $7
        ) found"#,
        filter.hostname,
        filter.rule_id,
        filter.outcome.map(Outcome::as_str),
        filter.forwarded,
        filter.from,
        filter.until,
        cap
    )
    .fetch_one(&mut *transaction)
    .await
    .map_err(DbError::during(action))?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(count)
}

/// Reads the event with this id.
///
/// # Errors
/// The database's.
pub async fn get(pool: &PgPool, id: EventId) -> Result<Option<StoredEvent>, DbError> {
    // Ids tell when they were made, which leaves one partition or two to look at.
    let (from, until) = around(id);
    sqlx::query_as!(
        StoredEvent,
        "select
            id, event_id, received_at, event_timestamp, hostname, matched_rule_id, rule_version,
            handling_decision, forwarded_to_moog, outcome, environment, team_assignment, source,
            correlation_id, raw_message
        from event_audit_log
        where event_id = $1 and received_at between $2 and $3
        limit 1",
        id.as_uuid(),
        from,
        until
    )
    .fetch_optional(pool)
    .await
    .map_err(DbError::during("reading one audited event"))
}

/// Reads the events of one request, newest first; at most `limit`.
///
/// # Errors
/// The database's.
pub async fn by_correlation(
    pool: &PgPool,
    correlation_id: &str,
    limit: i64,
) -> Result<Vec<StoredEvent>, DbError> {
    let id = Uuid::try_parse(correlation_id).ok().map(EventId::from);
    let window = id.map(around);
    sqlx::query_as!(
        StoredEvent,
        r#"select
            id as "id!", event_id as "event_id!", received_at as "received_at!",
            event_timestamp as "event_timestamp!", hostname as "hostname!", matched_rule_id, rule_version,
            handling_decision as "handling_decision!", forwarded_to_moog as "forwarded_to_moog!",
            outcome as "outcome!", environment, team_assignment, source, correlation_id as "correlation_id!",
            raw_message as "raw_message!"
        from (
            select * from event_audit_log where correlation_id = $1 and correlation_id <> event_id::text
            union all
            select * from event_audit_log
            where event_id = $2 and received_at between $3 and $4 and correlation_id = event_id::text
        ) found
        order by received_at desc, event_id desc
        limit $5"#,
        correlation_id,
        id.map(EventId::as_uuid),
        window.map(|(from, _)| from),
        window.map(|(_, until)| until),
        limit
    )
    .fetch_all(pool)
    .await
    .map_err(DbError::during("reading the events of one request"))
}

/// When an event with this id can have been received: its id was made then, by a clock that other hosts may not share.
fn around(id: EventId) -> (DateTime<Utc>, DateTime<Utc>) {
    match id.made_at() {
        Some(at) => (at - TimeDelta::hours(1), at + TimeDelta::hours(1)),
        None => (DateTime::<Utc>::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC),
    }
}

/// A transaction whose statements are planned for their values: one plan for every filter would read every partition.
async fn planned<'p>(pool: &'p PgPool, action: &'static str) -> Result<Transaction<'p, Postgres>, DbError> {
    pool.begin_with("begin read only; set local plan_cache_mode = force_custom_plan")
        .await
        .map_err(DbError::during(action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_an_address() {
        let cursor = Cursor {
            received_at: DateTime::from_timestamp_micros(1_763_000_000_123_456).unwrap(),
            event_id: Uuid::from_u128(7),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", ".", "x.00000000000000000000000000000007", "1", "1.7", "99999999999999999999.7"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
