//! The monthly partitions of the event audit.

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use serde::Serialize;
use sqlx::PgPool;

use super::DbError;

/// What [`ensure`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ensured {
    /// First days of the months whose partition was made just now.
    pub created: Vec<NaiveDate>,
    /// Months from now on, this one not counted, that have their partition without a gap.
    pub months_ahead: u32,
}

/// Makes the partitions of this month and of the next `months_ahead`; those that exist are left alone.
///
/// Rows that the default partition caught for a month move into its new partition. Safe to call from many processes
/// at once, and again after a failure: each month is one transaction, under an advisory lock.
///
/// # Errors
/// The database's; a lock that could not be had in time is [`super::Class::Retry`].
pub async fn ensure(pool: &PgPool, now: DateTime<Utc>, months_ahead: u32) -> Result<Ensured, DbError> {
    let action = "making audit partitions";
    let mut created = Vec::new();
    for ahead in 0..=months_ahead {
        let Some(month) = month_of(now).checked_add_months(Months::new(ahead)) else { break };
        let mut transaction = pool.begin().await.map_err(DbError::during(action))?;
        // Moving rows out of a full default partition takes longer than any other statement of a service.
        sqlx::query!("set local statement_timeout = '10min'")
            .execute(&mut *transaction)
            .await
            .map_err(DbError::during(action))?;
        let made = sqlx::query_scalar!(r#"select create_monthly_partition($1) as "made!""#, month)
            .fetch_one(&mut *transaction)
            .await
            .map_err(DbError::during(action))?;
        transaction.commit().await.map_err(DbError::during(action))?;
        if made {
            created.push(month);
        }
    }
    Ok(Ensured { created, months_ahead })
}

/// How many months after this one have their partition, without a gap; -1 when even this month has none.
///
/// # Errors
/// The database's.
pub async fn months_ahead(pool: &PgPool, now: DateTime<Utc>) -> Result<i64, DbError> {
    let names = sqlx::query_scalar!(
        r#"select c.relname::text as "name!" from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'event_audit_log'::regclass"#
    )
    .fetch_all(pool)
    .await
    .map_err(DbError::during("listing audit partitions"))?;
    let mut month = month_of(now);
    let mut ahead = -1;
    while names.contains(&month.format("event_audit_log_%Y_%m").to_string()) {
        ahead += 1;
        let Some(next) = month.checked_add_months(Months::new(1)) else { break };
        month = next;
    }
    Ok(ahead)
}

/// How many rows the default partition holds, counted up to `limit`; more than none means that a month was missing.
///
/// # Errors
/// The database's.
pub async fn rows_in_default(pool: &PgPool, limit: i64) -> Result<i64, DbError> {
    sqlx::query_scalar!(
        r#"select count(*) as "rows!" from (select 1 as one from event_audit_log_default limit $1) found"#,
        limit
    )
    .fetch_one(pool)
    .await
    .map_err(DbError::during("counting rows of the default partition"))
}

fn month_of(now: DateTime<Utc>) -> NaiveDate {
    let today = now.date_naive();
    today.with_day(1).unwrap_or(today)
}
