//! Device teams: who is told about the unhandled events of a host.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{PgExecutor, PgPool};

use super::{
    Change, Creation, DbError,
    config_audit::{self, Entry},
    error::is_duplicate,
};
use crate::domain::audit::{Author, Operation};

const TABLE: &str = "device_teams";

/// The team of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceTeam {
    /// The name as it was typed; no two differ by case alone.
    pub hostname: String,
    /// Who is told.
    pub team_assignment: String,
    /// Counts the changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: Option<String>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// Who changed it last.
    pub updated_by: Option<String>,
}

/// Reads all teams, by host name.
///
/// # Errors
/// The database's.
pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<DeviceTeam>, DbError> {
    sqlx::query_as!(
        DeviceTeam,
        "select hostname, team_assignment, version, created_at, created_by, updated_at, updated_by
        from device_teams
        order by hostname"
    )
    .fetch_all(executor)
    .await
    .map_err(DbError::during("reading device teams"))
}

/// Reads the team of one host, whatever the case of its name.
///
/// # Errors
/// The database's.
pub async fn get(executor: impl PgExecutor<'_>, hostname: &str) -> Result<Option<DeviceTeam>, DbError> {
    sqlx::query_as!(
        DeviceTeam,
        "select hostname, team_assignment, version, created_at, created_by, updated_at, updated_by
        from device_teams
        where lower(hostname) = lower($1)",
        hostname
    )
    .fetch_optional(executor)
    .await
    .map_err(DbError::during("reading a device team"))
}

/// Gives a host its team.
///
/// # Errors
/// The database's; then nothing was stored.
pub async fn create(
    pool: &PgPool,
    hostname: &str,
    team: &str,
    author: Author<'_>,
) -> Result<Creation<DeviceTeam>, DbError> {
    let action = "creating a device team";
    let mut transaction = pool.begin().await.map_err(DbError::during(action))?;
    let inserted = sqlx::query_as!(
        DeviceTeam,
        "insert into device_teams (hostname, team_assignment, created_by, updated_by)
        values ($1, $2, left($3, 100), left($3, 100))
        returning hostname, team_assignment, version, created_at, created_by, updated_at, updated_by",
        hostname,
        team,
        author.name
    )
    .fetch_one(&mut *transaction)
    .await;
    let created = match inserted {
        Ok(created) => created,
        Err(error) if is_duplicate(&error) => return Ok(Creation::Duplicate),
        Err(error) => return Err(DbError::during(action)(error)),
    };
    let entry = entry(Operation::Create, hostname);
    config_audit::record(&mut transaction, author, Entry { new: Some(&values(&created)), ..entry }).await?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(Creation::Done(created))
}

/// Gives a host another team. With `expected`, only when its row still has that version.
///
/// # Errors
/// The database's; then nothing was changed.
pub async fn update(
    pool: &PgPool,
    hostname: &str,
    expected: Option<i32>,
    team: &str,
    author: Author<'_>,
) -> Result<Change<DeviceTeam>, DbError> {
    let action = "changing a device team";
    let mut transaction = pool.begin().await.map_err(DbError::during(action))?;
    let locked = sqlx::query_scalar!(
        "select hostname from device_teams where lower(hostname) = lower($1) for update",
        hostname
    )
    .fetch_optional(&mut *transaction)
    .await
    .map_err(DbError::during(action))?;
    let Some(hostname) = locked else { return Ok(Change::NotFound) };
    let Some(before) = get(&mut *transaction, &hostname).await? else { return Ok(Change::NotFound) };
    if expected.is_some_and(|version| version != before.version) {
        return Ok(Change::Conflict(before));
    }
    if before.team_assignment == team {
        return Ok(Change::Done(before));
    }
    let changed = sqlx::query_as!(
        DeviceTeam,
        "update device_teams set
            team_assignment = $2, version = version + 1, updated_at = now(), updated_by = left($3, 100)
        where hostname = $1
        returning hostname, team_assignment, version, created_at, created_by, updated_at, updated_by",
        hostname,
        team,
        author.name
    )
    .fetch_one(&mut *transaction)
    .await
    .map_err(DbError::during(action))?;
    let (old, new) = (values(&before), values(&changed));
    let entry = Entry { old: Some(&old), new: Some(&new), ..entry(Operation::Update, &hostname) };
    config_audit::record(&mut transaction, author, entry).await?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(Change::Done(changed))
}

/// Takes a host's team away, whatever the case of its name; false when it had none.
///
/// # Errors
/// The database's; then nothing was changed.
pub async fn delete(pool: &PgPool, hostname: &str, author: Author<'_>) -> Result<bool, DbError> {
    let action = "removing a device team";
    let mut transaction = pool.begin().await.map_err(DbError::during(action))?;
    let removed = sqlx::query_as!(
        DeviceTeam,
        "delete from device_teams where lower(hostname) = lower($1)
        returning hostname, team_assignment, version, created_at, created_by, updated_at, updated_by",
        hostname
    )
    .fetch_optional(&mut *transaction)
    .await
    .map_err(DbError::during(action))?;
    let Some(removed) = removed else { return Ok(false) };
    let old = values(&removed);
    let entry = Entry { old: Some(&old), ..entry(Operation::Delete, &removed.hostname) };
    config_audit::record(&mut transaction, author, entry).await?;
    transaction.commit().await.map_err(DbError::during(action))?;
    Ok(true)
}

fn entry(operation: Operation, hostname: &str) -> Entry<'_> {
    Entry { operation, table: TABLE, record_id: None, record_key: hostname, old: None, new: None }
}

fn values(team: &DeviceTeam) -> Value {
    json!({
        "hostname": team.hostname,
        "team_assignment": team.team_assignment,
        "version": team.version,
    })
}
