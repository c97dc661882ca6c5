//! PostgreSQL for real: schema, audit, changes.
#![cfg(test)]

mod changes;
mod connect;
mod event_audit;
mod live_settings;
mod schema;

use std::time::Duration;

use mutt_core::db;
use mutt_test_support::PostgresServer;
use sqlx::{PgPool, postgres::PgPoolOptions};

/// Longer than any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pool on an empty database.
async fn empty_database() -> PgPool {
    pool(&PostgresServer::shared().await.database().await).await
}

/// A pool on a database with the current schema.
async fn database() -> PgPool {
    let pool = empty_database().await;
    db::migrate(&pool).await.unwrap();
    pool
}

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(3))
        .connect(url)
        .await
        .unwrap()
}

async fn count(pool: &PgPool, table: &'static str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}
