//! The event audit: written in batches by the alerter, read by people.
//!
//! The stored row decides. An event that comes again, perhaps after its rule has changed, gets the answer that was
//! written the first time, so that audit and alerts never disagree.

mod read;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

pub use self::read::{Cursor, CursorError, Filter, StoredEvent, by_correlation, count_up_to, get, page};
use super::DbError;
use crate::domain::{
    audit::{EventAudit, Outcome},
    event::{EventId, EventSource},
    host::Environment,
};

/// What [`insert_batch`] found.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Sorted by id; nearly always empty.
    earlier: Vec<(EventId, StoredDecision)>,
}

/// What an audit row that was there before says about its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDecision {
    /// What became of it.
    pub outcome: Outcome,
    /// The rule that decided.
    pub matched_rule_id: Option<i32>,
    /// Its version then.
    pub rule_version: Option<i32>,
    /// What it decided.
    pub handling_decision: String,
    /// Whether that sends an alert.
    pub forwarded_to_moog: bool,
    /// `prod` or `dev`.
    pub environment: Option<String>,
    /// Who is told.
    pub team_assignment: Option<String>,
}

impl Stored {
    /// What the audit said about this event already; `None` when its row is new.
    #[must_use]
    pub fn earlier(&self, id: EventId) -> Option<&StoredDecision> {
        let place = self.earlier.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.earlier.get(place).map(|(_, decision)| decision)
    }

    /// How many events of the batch had been audited already.
    #[must_use]
    pub fn repeats(&self) -> usize {
        self.earlier.len()
    }
}

/// One vector per column, as the statement takes them; text is borrowed.
struct Columns<'a> {
    event_id: Vec<Uuid>,
    received_at: Vec<DateTime<Utc>>,
    event_timestamp: Vec<DateTime<Utc>>,
    hostname: Vec<&'a str>,
    matched_rule_id: Vec<Option<i32>>,
    rule_version: Vec<Option<i32>>,
    handling_decision: Vec<&'a str>,
    forwarded_to_moog: Vec<bool>,
    outcome: Vec<&'static str>,
    environment: Vec<Option<&'static str>>,
    team_assignment: Vec<Option<&'a str>>,
    source: Vec<Option<&'static str>>,
    correlation_id: Vec<&'a str>,
    raw_message: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(rows: &[&EventAudit<'a>]) -> Self {
        fn column<'a, T>(rows: &[&EventAudit<'a>], value: impl Fn(&EventAudit<'a>) -> T) -> Vec<T> {
            rows.iter().map(|row| value(row)).collect()
        }
        Self {
            event_id: column(rows, |row| row.event_id.as_uuid()),
            received_at: column(rows, |row| row.received_at),
            event_timestamp: column(rows, |row| row.event_timestamp),
            hostname: column(rows, |row| row.hostname),
            matched_rule_id: column(rows, |row| row.matched_rule_id),
            rule_version: column(rows, |row| row.rule_version),
            handling_decision: column(rows, |row| row.handling_decision),
            forwarded_to_moog: column(rows, |row| row.forwarded_to_moog),
            outcome: column(rows, |row| row.outcome.as_str()),
            environment: column(rows, |row| row.environment.map(Environment::as_str)),
            team_assignment: column(rows, |row| row.team_assignment),
            source: column(rows, |row| row.source.map(EventSource::as_str)),
            correlation_id: column(rows, |row| row.correlation_id),
            raw_message: column(rows, |row| row.raw_message),
        }
    }
}

/// Writes a batch of audit rows; an event that has its row keeps it.
///
/// One statement that commits by itself: no lock outlives it, and a client that is stopped in the middle blocks
/// nobody. Rows go in the order of their ids, so that two overlapping batches wait for each other instead of locking
/// each other out. Repeating the call changes nothing.
///
/// # Errors
/// [`super::Class::DataFault`] when one of the rows cannot be stored (none is then); split the batch to find it.
/// [`super::Class::Retry`] after a deadlock or a lock timeout, [`super::Class::Outage`] when the database is away.
pub async fn insert_batch(pool: &PgPool, rows: &[EventAudit<'_>]) -> Result<Stored, DbError> {
    if rows.is_empty() {
        return Ok(Stored::default());
    }
    let mut sorted: Vec<&EventAudit<'_>> = rows.iter().collect();
    sorted.sort_unstable_by_key(|row| row.event_id);
    let columns = Columns::of(&sorted);
    let mut inserted = sqlx::query_scalar!(
        "insert into event_audit_log (
            event_id, received_at, event_timestamp, hostname, matched_rule_id, rule_version, handling_decision,
            forwarded_to_moog, outcome, environment, team_assignment, source, correlation_id, raw_message
        )
        select * from unnest(
            $1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::int[], $6::int[], $7::text[],
            $8::bool[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[]
        )
        on conflict (received_at, event_id) do nothing
        returning event_id",
        &columns.event_id,
        &columns.received_at,
        &columns.event_timestamp,
        &columns.hostname as &[&str],
        &columns.matched_rule_id as &[Option<i32>],
        &columns.rule_version as &[Option<i32>],
        &columns.handling_decision as &[&str],
        &columns.forwarded_to_moog,
        &columns.outcome as &[&str],
        &columns.environment as &[Option<&str>],
        &columns.team_assignment as &[Option<&str>],
        &columns.source as &[Option<&str>],
        &columns.correlation_id as &[&str],
        &columns.raw_message as &[&str]
    )
    .fetch_all(pool)
    .await
    .map_err(DbError::during("writing the event audit"))?;
    if inserted.len() == rows.len() {
        return Ok(Stored::default());
    }
    inserted.sort_unstable();
    sorted.retain(|row| inserted.binary_search(&row.event_id.as_uuid()).is_err());
    sorted.dedup_by_key(|row| row.event_id);
    earlier_decisions(pool, &sorted).await
}

/// Reads what the audit says about `rows`, which are sorted by id.
async fn earlier_decisions(pool: &PgPool, rows: &[&EventAudit<'_>]) -> Result<Stored, DbError> {
    let (Some(first), Some(last)) =
        (rows.iter().map(|row| row.received_at).min(), rows.iter().map(|row| row.received_at).max())
    else {
        return Ok(Stored::default());
    };
    let event_ids: Vec<Uuid> = rows.iter().map(|row| row.event_id.as_uuid()).collect();
    let received: Vec<DateTime<Utc>> = rows.iter().map(|row| row.received_at).collect();
    let found = sqlx::query!(
        "select
            e.event_id, e.outcome, e.matched_rule_id, e.rule_version, e.handling_decision,
            e.forwarded_to_moog, e.environment, e.team_assignment
        from unnest($1::uuid[], $2::timestamptz[]) as wanted (event_id, received_at)
        join event_audit_log e on e.event_id = wanted.event_id and e.received_at = wanted.received_at
        where e.received_at between $3 and $4
        order by e.event_id",
        &event_ids,
        &received,
        first,
        last
    )
    .fetch_all(pool)
    .await
    .map_err(DbError::during("reading audited decisions"))?;
    if found.len() < rows.len() {
        return Err(DbError::Vanished { count: rows.len() - found.len() });
    }
    let earlier = found.into_iter().map(|row| {
        let outcome = Outcome::from_word(&row.outcome).ok_or_else(|| DbError::Unreadable {
            table: "event_audit_log",
            key: row.event_id.to_string(),
            problem: format!("outcome `{}`", row.outcome),
        })?;
        let decision = StoredDecision {
            outcome,
            matched_rule_id: row.matched_rule_id,
            rule_version: row.rule_version,
            handling_decision: row.handling_decision,
            forwarded_to_moog: row.forwarded_to_moog,
            environment: row.environment,
            team_assignment: row.team_assignment,
        };
        Ok((EventId::from(row.event_id), decision))
    });
    Ok(Stored { earlier: earlier.collect::<Result<_, DbError>>()? })
}
