//! Who changed what, when and why. Rows are only ever added, in the transaction of the change they speak of.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::DbError;
use crate::domain::audit::{Author, Operation};

const AUTHOR_MAX_CHARS: usize = 100;
const KEY_MAX_CHARS: usize = 255;
const CORRELATION_MAX_CHARS: usize = 128;

/// One change to write down.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// What was done.
    pub operation: Operation,
    /// The kind of record: the name of its table, or `dynamic_config` for live settings.
    pub table: &'a str,
    /// The record's number, when it has one.
    pub record_id: Option<i32>,
    /// The record's number or name, as text.
    pub record_key: &'a str,
    /// The record before; `None` for a new one.
    pub old: Option<&'a Value>,
    /// The record after; `None` for one that is gone.
    pub new: Option<&'a Value>,
}

/// One change as it was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Counts up; newer changes have higher numbers.
    pub id: i64,
    /// When.
    pub changed_at: DateTime<Utc>,
    /// Who.
    pub changed_by: String,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: String,
    /// The kind of record.
    pub table_name: String,
    /// The record's number, when it has one.
    pub record_id: Option<i32>,
    /// The record's number or name, as text.
    pub record_key: String,
    /// The record before.
    pub old_values: Option<Value>,
    /// The record after.
    pub new_values: Option<Value>,
    /// Why.
    pub reason: Option<String>,
    /// Joins the change to its request.
    pub correlation_id: Option<String>,
}

/// Which changes to read; everything that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Part of the author's name, in any case.
    pub changed_by: Option<String>,
    /// What was done.
    pub operation: Option<Operation>,
    /// The kind of record.
    pub table_name: Option<String>,
    /// The record's number.
    pub record_id: Option<i32>,
    /// The record's number or name, as text.
    pub record_key: Option<String>,
    /// The earliest time, included.
    pub from: Option<DateTime<Utc>>,
    /// The latest time, included.
    pub until: Option<DateTime<Utc>>,
}

/// Writes a change down, inside the caller's transaction.
///
/// # Errors
/// The database's; the caller's change must then be rolled back.
pub async fn record(
    connection: &mut PgConnection,
    author: Author<'_>,
    entry: Entry<'_>,
) -> Result<(), DbError> {
    let correlation_id = author.correlation_id.map(|id| cut(id, CORRELATION_MAX_CHARS));
    sqlx::query!(
        "insert into config_audit_log (
            changed_by, operation, table_name, record_id, record_key, old_values, new_values, reason, correlation_id
        ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        cut(author.name, AUTHOR_MAX_CHARS),
        entry.operation.as_str(),
        entry.table,
        entry.record_id,
        cut(entry.record_key, KEY_MAX_CHARS),
        entry.old,
        entry.new,
        author.reason,
        correlation_id
    )
    .execute(connection)
    .await
    .map_err(DbError::during("writing the configuration audit"))?;
    Ok(())
}

/// Reads changes, newest first: those with an id below `before`, then `offset` further on.
///
/// # Errors
/// The database's.
pub async fn page(
    pool: &PgPool,
    filter: &Filter,
    before: Option<i64>,
    offset: i64,
    limit: i64,
) -> Result<Vec<Recorded>, DbError> {
    sqlx::query_as!(
        Recorded,
        "select
            id, changed_at, changed_by, operation, table_name, record_id, record_key,
            old_values, new_values, reason, correlation_id
        from config_audit_log
        where ($1::text is null or strpos(lower(changed_by), lower($1)) > 0)
            and ($2::text is null or operation = $2)
            and ($3::text is null or table_name = $3)
            and ($4::int is null or record_id = $4)
            and ($5::text is null or record_key = $5)
            and ($6::timestamptz is null or changed_at >= $6)
            and ($7::timestamptz is null or changed_at <= $7)
            and ($8::bigint is null or id < $8)
        order by id desc
        offset $9
        limit $10",
        filter.changed_by,
        filter.operation.map(Operation::as_str),
        filter.table_name,
        filter.record_id,
        filter.record_key,
        filter.from,
        filter.until,
        before,
        offset,
        limit
    )
    .fetch_all(pool)
    .await
    .map_err(DbError::during("reading the configuration audit"))
}

/// Counts changes, at most up to `cap`.
///
/// # Errors
/// The database's.
pub async fn count_up_to(pool: &PgPool, filter: &Filter, cap: i64) -> Result<i64, DbError> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
            select 1 as one
            from config_audit_log
            where ($1::text is null or strpos(lower(changed_by), lower($1)) > 0)
                and ($2::text is null or operation = $2)
                and ($3::text is null or table_name = $3)
                and ($4::int is null or record_id = $4)
                and ($5::text is null or record_key = $5)
                and ($6::timestamptz is null or changed_at >= $6)
                and ($7::timestamptz is null or changed_at <= $7)
            limit $8
        ) found"#,
        filter.changed_by,
        filter.operation.map(Operation::as_str),
        filter.table_name,
        filter.record_id,
        filter.record_key,
        filter.from,
        filter.until,
        cap
    )
    .fetch_one(pool)
    .await
    .map_err(DbError::during("counting the configuration audit"))
}

fn cut(text: &str, max_chars: usize) -> &str {
    text.char_indices().nth(max_chars).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö");
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("", 3), "");
    }
}
