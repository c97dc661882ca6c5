//! The schema: embedded migrations, applied under an advisory lock, so that many processes may start at once.

use std::{sync::LazyLock, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgPool,
    migrate::{Migrate as _, MigrateError, Migrator},
};

use super::DbError;

/// All migrations, oldest first.
///
/// A database that is newer than this program is fine: migrations only ever add what an older program can live with,
/// so that services can be rolled forward and back one by one.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    migrator
});

/// How long to wait for another process that migrates, or for locks that a migration needs.
const LOCK_LIMIT: Duration = Duration::from_mins(2);

/// Brings the schema up to date; does nothing when it is. May be called by many processes at once.
///
/// # Errors
/// [`DbError::Query`] when the database is away; [`DbError::Migrate`] when a migration fails (none of it is then
/// applied) or one that was applied has been edited since.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    // A connection of its own, closed afterwards: the pool's short timeouts are wrong for this and must come back.
    let mut connection = pool.acquire().await.map_err(DbError::during("connecting to migrate"))?.detach();
    let limits = format!("set statement_timeout = 0; set lock_timeout = {}", LOCK_LIMIT.as_millis());
    connection.execute(AssertSqlSafe(limits)).await.map_err(DbError::during("preparing to migrate"))?;
    MIGRATOR.run(&mut connection).await.map_err(|source| DbError::Migrate { hint: hint(&source), source })?;
    connection.close().await.map_err(DbError::during("closing the connection that migrated"))
}

/// Checks that every migration of this program has been applied.
///
/// # Errors
/// [`DbError::SchemaBehind`] when one is missing; otherwise as [`migrate`].
pub async fn check_schema(pool: &PgPool) -> Result<(), DbError> {
    let failed = |source| DbError::Migrate { hint: "", source };
    let mut connection = pool.acquire().await.map_err(DbError::during("checking the schema"))?;
    let known = sqlx::query_scalar!(r#"select to_regclass('_sqlx_migrations') is not null as "known!""#)
        .fetch_one(&mut *connection)
        .await
        .map_err(DbError::during("checking the schema"))?;
    let applied = if known {
        connection.list_applied_migrations("_sqlx_migrations").await.map_err(failed)?
    } else {
        Vec::new()
    };
    let missing =
        MIGRATOR.iter().filter(|ours| !applied.iter().any(|there| there.version == ours.version)).count();
    if missing == 0 { Ok(()) } else { Err(DbError::SchemaBehind { missing }) }
}

fn hint(error: &MigrateError) -> &'static str {
    match error {
        MigrateError::VersionMismatch(_) => {
            ": a migration that was applied has been edited since; restore its file, never edit one"
        }
        MigrateError::ExecuteMigration(..) => ": nothing of the failed migration was kept",
        _ => "",
    }
}
