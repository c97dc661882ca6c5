//! Getting in: passwords that rotate, servers that are away, TLS.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use mutt_core::{
    db::{self, DbError},
    secrets::Secrets,
    settings::postgres::{DbTlsMode, PostgresSettings},
};
use mutt_test_support::{Authority, PostgresServer, eventually, free_port, install_tls_provider};
use sqlx::PgPool;

use super::PATIENCE;

fn settings(server: &PostgresServer) -> PostgresSettings {
    PostgresSettings {
        host: "127.0.0.1".into(),
        port: server.port(),
        database: "postgres".into(),
        user: server.user().into(),
        tls: DbTlsMode::Disable,
        ca_cert_path: None,
        pool_min: 1,
        pool_max: 3,
        auto_migrate: true,
    }
}

async fn with_password(password: &str) -> PostgresServer {
    PostgresServer::builder().password(password).start().await.unwrap()
}

async fn shown(pool: &PgPool, setting: &'static str) -> String {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("show {setting}"))).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn sessions_have_limits_and_the_role_of_the_secrets() {
    let server = PostgresServer::shared().await;
    let nobody = PostgresSettings { user: "nobody".into(), ..settings(server) };
    let secrets = Secrets::fixed([("DB_USER", server.user())]);
    let pool = db::connect(&nobody, &secrets).await.unwrap();
    db::check(&pool).await.unwrap();
    assert_eq!(shown(&pool, "statement_timeout").await, "10s");
    assert_eq!(shown(&pool, "lock_timeout").await, "5s");
    assert_eq!(shown(&pool, "synchronous_commit").await, "on");
    assert!(!shown(&pool, "application_name").await.is_empty());
}

#[tokio::test]
async fn next_is_tried_only_when_current_is_refused() {
    let server = with_password("second").await;
    let rotating = Secrets::fixed([("DB_PASS_CURRENT", "first"), ("DB_PASS_NEXT", "second")]);
    db::check(&db::connect(&settings(&server), &rotating).await.unwrap()).await.unwrap();

    let wrong = Secrets::fixed([("DB_PASS_CURRENT", "first"), ("DB_PASS_NEXT", "third")]);
    let refused = db::connect(&settings(&server), &wrong).await.unwrap_err();
    assert!(matches!(refused, DbError::Refused { .. }) && !refused.is_transient(), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("DB_PASS_CURRENT and DB_PASS_NEXT") && !text.contains("third"), "{text}");

    let away = PostgresSettings { port: free_port(), ..settings(&server) };
    let error = db::connect(&away, &rotating).await.unwrap_err();
    assert!(error.is_outage() && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_pool_survives_a_rotation_on_either_side() {
    let server = with_password("one").await;
    let (writer, secrets) = Secrets::adjustable([("DB_PASS_CURRENT", "one"), ("DB_PASS_NEXT", "two")]);
    let pool = db::connect(&settings(&server), &secrets).await.unwrap();
    let end_all = async |pool: &PgPool, password: &'static str| {
        let change = sqlx::AssertSqlSafe(format!("alter role {} password '{password}'", server.user()));
        let mut last = pool.acquire().await.unwrap();
        sqlx::query(change).execute(&mut *last).await.unwrap();
        let others = "select pg_terminate_backend(pid) from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()";
        sqlx::query(others).execute(&mut *last).await.unwrap();
        sqlx::query("select pg_terminate_backend(pg_backend_pid())").execute(&mut *last).await.unwrap_err();
    };

    // The database changes first: NEXT has become the password, the secrets do not know yet.
    end_all(&pool, "two").await;
    eventually("a login with NEXT", PATIENCE, async || db::check(&pool).await).await;

    // The secrets change first.
    writer.replace([("DB_PASS_CURRENT", "two"), ("DB_PASS_NEXT", "three")]);
    end_all(&pool, "three").await;
    eventually("a login with the next NEXT", PATIENCE, async || db::check(&pool).await).await;
}

#[tokio::test]
async fn tls_checks_who_answers_when_it_is_told_to() {
    install_tls_provider();
    let server = PostgresServer::start().await;
    let authority = Authority::new();
    let identity = authority.issue_for_loopback();
    let dir = server.data_dir().to_owned();
    let owner = std::fs::metadata(dir.join("data")).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        path
    };
    let (cert, key) = (file("server.crt", &identity.certificate_pem), file("server.key", &identity.key_pem));
    let ours = file("authority.pem", authority.pem());
    let other = file("other.pem", Authority::new().pem());

    let none = Secrets::fixed([]);
    let plain = db::connect(&settings(&server), &none).await.unwrap();
    for (name, path) in [("ssl_cert_file", &cert), ("ssl_key_file", &key)] {
        let set = format!("alter system set {name} = '{}'", path.display());
        sqlx::query(sqlx::AssertSqlSafe(set)).execute(&plain).await.unwrap();
    }
    sqlx::query("alter system set ssl = on").execute(&plain).await.unwrap();
    sqlx::query("select pg_reload_conf()").execute(&plain).await.unwrap();
    eventually("TLS is on", PATIENCE, async || shown(&plain, "ssl").await == "on").await;

    let secured = |tls, ca: &std::path::Path| PostgresSettings {
        tls,
        ca_cert_path: Some(ca.to_owned()),
        ..settings(&server)
    };
    let pool = db::connect(&secured(DbTlsMode::VerifyFull, &ours), &none).await.unwrap();
    let encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    assert!(sqlx::query_scalar::<_, bool>(encrypted).fetch_one(&pool).await.unwrap());
    let stranger = db::connect(&secured(DbTlsMode::VerifyFull, &other), &none).await.unwrap_err();
    assert!(stranger.is_outage(), "{stranger:?}");
    let believed = db::connect(&secured(DbTlsMode::Require, &other), &none).await.unwrap();
    assert!(sqlx::query_scalar::<_, bool>(encrypted).fetch_one(&believed).await.unwrap());
    assert!(!sqlx::query_scalar::<_, bool>(encrypted).fetch_one(&plain).await.unwrap());
}
