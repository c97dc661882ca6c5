//! The private PostgreSQL.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use mutt_test_support::PostgresServer;
use sqlx::Connection as _;

#[tokio::test]
async fn each_database_is_fresh_and_survives_a_kill() {
    let mut server = PostgresServer::start().await;
    let (one, other) = (server.database().await, server.database().await);
    assert_ne!(one, other);
    let mut connection = sqlx::PgConnection::connect(&one).await.expect("connects");
    sqlx::query("create table kept (id int)").execute(&mut connection).await.expect("creates");
    server.kill();
    assert!(sqlx::query("select 1 from kept").execute(&mut connection).await.is_err());
    server.restart().await;
    let mut connection = sqlx::PgConnection::connect(&one).await.expect("connects again");
    sqlx::query("select 1 from kept").execute(&mut connection).await.expect("the table is still there");
    let mut connection = sqlx::PgConnection::connect(&other).await.expect("connects");
    assert!(sqlx::query("select 1 from kept").execute(&mut connection).await.is_err());
}

#[tokio::test]
async fn a_kept_directory_is_found_again_with_its_password() {
    let dir = tempfile::tempdir().expect("a directory");
    let options =
        || PostgresServer::builder().data_dir(dir.path().join("postgres")).password("s3cret").durable(true);
    let server = options().start().await.expect("it starts");
    server.create_database("mutt_db").await.expect("a new database");
    server.create_database("mutt_db").await.expect("an existing one is no error");
    let wrong = server.url("mutt_db").replace("s3cret", "wrong");
    assert!(sqlx::PgConnection::connect(&wrong).await.is_err(), "a wrong password was taken");
    let data_dir = server.data_dir().to_owned();
    server.stop().await;
    let server = options().start().await.expect("it starts again");
    assert_eq!(server.data_dir(), data_dir);
    sqlx::PgConnection::connect(&server.url("mutt_db")).await.expect("the database is still there");
}

#[tokio::test]
async fn roots_data_moves_out_of_a_directory_that_postgres_cannot_enter() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).expect("closed to others");
    let wanted = dir.path().join("postgres");
    let options = || PostgresServer::builder().data_dir(&wanted);
    let server = options().start().await.expect("it starts");
    server.create_database("mutt_db").await.expect("a database");
    let data_dir = server.data_dir().to_owned();
    server.stop().await;
    let server = options().start().await.expect("it starts again");
    assert_eq!(server.data_dir(), data_dir);
    sqlx::PgConnection::connect(&server.url("mutt_db")).await.expect("the database is still there");
    drop(server);
    let moved = wanted.join("moved-to").exists();
    // Without root nobody else runs it, and it stays where it was asked to be.
    assert_eq!(moved, rustix::process::geteuid().is_root());
    if moved {
        std::fs::remove_dir_all(data_dir).expect("what this test made outside its directory");
    }
}
