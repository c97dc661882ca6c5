//! Development hosts: the devices whose events take a rule's development handling.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgExecutor, PgPool};

use super::{
    Creation, DbError,
    config_audit::{self, Entry},
    error::is_duplicate,
};
use crate::domain::audit::{Author, Operation};

const TABLE: &str = "development_hosts";

/// One development host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevelopmentHost {
    /// The name as it was typed; no two differ by case alone.
    pub hostname: String,
    /// When it was listed.
    pub created_at: Option<DateTime<Utc>>,
    /// Who listed it.
    pub created_by: Option<String>,
}

/// Reads all development hosts, by name.
///
/// # Errors
/// The database's.
pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<DevelopmentHost>, DbError> {
    sqlx::query_as!(
        DevelopmentHost,
        "select hostname, created_at, created_by from development_hosts order by hostname"
    )
    .fetch_all(executor)
    .await
    .map_err(DbError::during("reading development hosts"))
}

/// Lists a host as a development host.
///
/// # Errors
/// The database's; then nothing was stored.
pub async fn create(
    pool: &PgPool,
    hostname: &str,
    author: Author<'_>,
) -> Result<Creation<DevelopmentHost>, DbError> {
    let action = "listing a development host";
    let mut transaction = pool.begin().await.map_err(DbError::during(action))?;
    let inserted = sqlx::query_as!(
        DevelopmentHost,
        "insert into development_hosts (hostname, created_by) values ($1, left($2, 100))
        returning hostname, created_at, created_by",
        hostname,
        author.name
    )
    .fetch_one(&mut *transaction)
    .await;
    let host = match inserted {
        Ok(host) => host,
        Err(error) if is_duplicate(&error) => return Ok(Creation::Duplicate),
        Err(error) => return Err(DbError::during(action)(error)),
    };
    let entry = Entry {
        operation: Operation::Create,
        table: TABLE,
        record_id: None,
        record_key: hostname,
        old: None,
        new: Some(&json!({ "hostname": hostname })),
    };
    config_audit::record(&mut transaction, author, entry).await?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(Creation::Done(host))
}

/// Takes a host off the list, whatever the case of its name; false when it was not on it.
///
/// # Errors
/// The database's; then nothing was changed.
pub async fn delete(pool: &PgPool, hostname: &str, author: Author<'_>) -> Result<bool, DbError> {
    let action = "removing a development host";
    let mut transaction = pool.begin().await.map_err(DbError::during(action))?;
    let removed = sqlx::query_scalar!(
        "delete from development_hosts where lower(hostname) = lower($1) returning hostname",
        hostname
    )
    .fetch_optional(&mut *transaction)
    .await
    .map_err(DbError::during(action))?;
    let Some(removed) = removed else { return Ok(false) };
    let entry = Entry {
        operation: Operation::Delete,
        table: TABLE,
        record_id: None,
        record_key: &removed,
        old: Some(&json!({ "hostname": removed })),
        new: None,
    };
    config_audit::record(&mut transaction, author, entry).await?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(true)
}
