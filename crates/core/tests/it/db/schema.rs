//! Migrations and partitions: from nothing, again, and from many processes at once.

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::join_all;
use mutt_core::db::{self, DbError, event_audit, partitions};
use mutt_test_support::PostgresServer;

use super::{count, database, empty_database, event_audit::row, pool};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test]
async fn the_schema_loads_from_nothing_by_many_at_once_and_again() {
    let pool = empty_database().await;
    let behind = db::check_schema(&pool).await.unwrap_err();
    assert!(
        matches!(behind, DbError::SchemaBehind { missing } if missing == db::MIGRATOR.iter().count()),
        "{behind}"
    );
    for outcome in join_all((0..4).map(|_| db::migrate(&pool))).await {
        outcome.unwrap();
    }
    db::check_schema(&pool).await.unwrap();
    db::migrate(&pool).await.unwrap();
    for table in ["alert_rules", "development_hosts", "device_teams", "event_audit_log", "config_audit_log"] {
        assert_eq!(count(&pool, table).await, 0, "{table} comes empty");
    }
}

#[tokio::test]
async fn an_edited_migration_is_refused_and_a_newer_schema_is_not() {
    let pool = database().await;
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (99991231000000, 'of a later release', true, '\\x00', 0)";
    sqlx::query(newer).execute(&pool).await.unwrap();
    db::migrate(&pool).await.unwrap();
    sqlx::query("update _sqlx_migrations set checksum = '\\x00'").execute(&pool).await.unwrap();
    let error = db::migrate(&pool).await.unwrap_err();
    assert!(error.to_string().contains("has been edited since"), "{error}");
}

#[tokio::test]
async fn partitions_are_made_once_by_many_and_take_the_rows_that_came_before_them() {
    let pool = database().await;
    let now = at("2026-11-30T23:59:59Z");
    let early = [
        row(1, at("2026-11-30T23:59:59.999999Z")),
        row(2, at("2026-12-01T00:00:00Z")),
        row(3, at("2027-01-31T12:00:00Z")),
        row(4, at("2031-01-01T00:00:00Z")),
    ];
    event_audit::insert_batch(&pool, &early).await.unwrap();
    assert_eq!(partitions::rows_in_default(&pool, 10).await.unwrap(), 4);
    assert_eq!(partitions::months_ahead(&pool, now).await.unwrap(), -1);

    let made = join_all((0..4).map(|_| partitions::ensure(&pool, now, 3))).await;
    let mut created: Vec<NaiveDate> = made.into_iter().flat_map(|ensured| ensured.unwrap().created).collect();
    created.sort_unstable();
    let months = ["2026-11-01", "2026-12-01", "2027-01-01", "2027-02-01"];
    assert_eq!(created, months.map(|month| month.parse().unwrap()));

    assert_eq!(partitions::months_ahead(&pool, now).await.unwrap(), 3);
    assert_eq!(partitions::rows_in_default(&pool, 10).await.unwrap(), 1, "2031 has no partition yet");
    assert_eq!(count(&pool, "event_audit_log_2026_12").await, 1);
    assert_eq!(count(&pool, "event_audit_log").await, 4);
    assert_eq!(
        event_audit::insert_batch(&pool, &early).await.unwrap().repeats(),
        4,
        "moved rows still are the key"
    );
    assert_eq!(partitions::ensure(&pool, now, 3).await.unwrap().created, []);
}

#[tokio::test]
async fn old_events_are_archived_before_their_partition_goes() {
    let pool = database().await;
    let old = at("2020-02-29T12:00:00Z");
    partitions::ensure(&pool, old, 0).await.unwrap();
    let rows: Vec<_> = (1..=25).map(|n| row(n, old)).collect();
    event_audit::insert_batch(&pool, &rows).await.unwrap();

    let dropped = "select drop_old_partitions(6)";
    assert_eq!(sqlx::query_scalar::<_, i32>(dropped).fetch_one(&pool).await.unwrap(), 0, "it holds rows");
    for expected in [10, 10, 5, 0] {
        let archived: i64 =
            sqlx::query_scalar("select archive_old_events(90, 10)").fetch_one(&pool).await.unwrap();
        assert_eq!(archived, expected);
    }
    assert_eq!(count(&pool, "event_audit_log").await, 0);
    assert_eq!(count(&pool, "event_audit_log_archive").await, 25);
    assert_eq!(sqlx::query_scalar::<_, i32>(dropped).fetch_one(&pool).await.unwrap(), 1);
    let figures: Vec<(String, String)> =
        sqlx::query_as("select * from get_archive_statistics()").fetch_all(&pool).await.unwrap();
    assert_eq!(figures.len(), 6);
    assert_eq!(figures[0], ("archived_count".to_owned(), "25".to_owned()));
    let health: Vec<(String, String)> =
        sqlx::query_as("select partition_name, partition_range from partition_health_summary")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(health, [("event_audit_log_default".to_owned(), "DEFAULT".to_owned())]);
    let purged: i64 = sqlx::query_scalar("select delete_old_archives(1)").fetch_one(&pool).await.unwrap();
    assert_eq!(purged, 25);
}

#[tokio::test]
async fn failures_are_told_apart_by_what_to_do_about_them() {
    let mut server = PostgresServer::start().await;
    let pool = pool(&server.database().await).await;
    db::migrate(&pool).await.unwrap();
    let now = at("2026-11-24T00:00:00Z");

    let long = "x".repeat(300);
    let bad =
        event_audit::insert_batch(&pool, &[row(1, now), db_row_with_host(2, now, &long)]).await.unwrap_err();
    assert!(bad.is_data_fault(), "{bad:?}");
    let nul = event_audit::insert_batch(&pool, &[db_row_with_host(3, now, "a\0b")]).await.unwrap_err();
    assert!(nul.is_data_fault(), "{nul:?}");
    assert_eq!(count(&pool, "event_audit_log").await, 0, "a batch is stored as a whole or not at all");

    let mut holder = pool.begin().await.unwrap();
    sqlx::query("lock table event_audit_log in exclusive mode").execute(&mut *holder).await.unwrap();
    let hurried = sqlx::postgres::PgPoolOptions::new()
        .connect_with((*pool.connect_options()).clone().options([("lock_timeout", "50ms")]))
        .await
        .unwrap();
    let blocked = event_audit::insert_batch(&hurried, &[row(1, now)]).await.unwrap_err();
    assert!(blocked.is_retryable(), "{blocked:?}");
    holder.rollback().await.unwrap();

    server.kill();
    let gone = event_audit::insert_batch(&pool, &[row(1, now)]).await.unwrap_err();
    assert!(gone.is_outage(), "{gone:?}");
    server.restart().await;
    event_audit::insert_batch(&pool, &[row(1, now)]).await.unwrap();
}

fn db_row_with_host(
    n: u128,
    received_at: DateTime<Utc>,
    hostname: &str,
) -> mutt_core::domain::audit::EventAudit<'_> {
    mutt_core::domain::audit::EventAudit { hostname, ..row(n, received_at) }
}
