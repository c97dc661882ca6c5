//! Commands that change something: schema, demo data, live settings.

use mutt_test_support::{PostgresServer, RedisServer};
use serde_json::Value;
use sqlx::PgPool;

use crate::{err, mutt, out, run};

#[tokio::test]
async fn migrate_and_seed_may_be_repeated() {
    let postgres = PostgresServer::start().await;
    let database = postgres.database().await;
    let check = ["migrate", "--check", "--database", &database];
    let behind = run(&check).await;
    assert_eq!(behind.status.code(), Some(1), "{}", out(&behind));
    assert!(out(&behind).contains("migrations are missing"), "{}", out(&behind));
    for _ in 0..2 {
        let migrated = run(&["migrate", "--database", &database]).await;
        assert_eq!(migrated.status.code(), Some(0), "{}", err(&migrated));
    }
    assert_eq!(run(&check).await.status.code(), Some(0));
    for rules in [5, 0] {
        let seeded = run(&["seed", "--json", "--database", &database]).await;
        let added: Value = serde_json::from_str(&out(&seeded)).unwrap();
        assert_eq!(added["rules"], rules);
    }
}

#[tokio::test]
async fn a_live_setting_is_changed_together_with_its_audit() {
    let (redis, postgres) = tokio::join!(RedisServer::start(), PostgresServer::start());
    let database = postgres.database().await;
    assert_eq!(run(&["migrate", "--database", &database]).await.status.code(), Some(0));
    let url = redis.url();
    let servers = ["--redis", &url, "--database", &database, "--by", "jlee", "--reason", "slow today"];
    let config = async |words: &[&str]| run(&[&["config"], words, &servers[..]].concat()).await;

    let set = config(&["set", "moog_rate_limit", "20"]).await;
    assert_eq!(set.status.code(), Some(0), "{}", err(&set));
    let shown = run(&["config", "get", "moog_rate_limit", "--json", "--redis", &url]).await;
    let shown: Value = serde_json::from_str(&out(&shown)).unwrap();
    assert_eq!(shown["value"], "20");
    let list = run(&["config", "list", "--redis", &url]).await;
    assert!(out(&list).lines().any(|line| line.contains("moog_rate_limit") && line.contains(" 20 ")));
    assert_eq!(config(&["unset", "moog_rate_limit"]).await.status.code(), Some(0));

    for (words, part) in [
        (["set", "moog_rate_limit", "fast"], "whole number"),
        (["set", "moog_limit", "1"], "moog_rate_limit"),
    ] {
        let refused = config(&words).await;
        assert_eq!(refused.status.code(), Some(64));
        assert!(err(&refused).contains(part), "{}", err(&refused));
    }

    let pool = PgPool::connect(&database).await.unwrap();
    let audited: Vec<(String, String, String)> =
        sqlx::query_as("select changed_by, operation, reason from config_audit_log order by id")
            .fetch_all(&pool)
            .await
            .unwrap();
    let row = |operation: &str| ("jlee".to_owned(), operation.to_owned(), "slow today".to_owned());
    assert_eq!(audited, [row("CREATE"), row("DELETE")], "only what was changed is written down");
}

#[tokio::test]
async fn the_services_own_settings_lead_to_redis_and_its_password() {
    let redis = RedisServer::builder().password("s3cret").start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets.env");
    std::fs::write(&secrets, "REDIS_PASS=s3cret\n").unwrap();
    std::fs::set_permissions(&secrets, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = mutt(&folder, &["queues"]);
    command.env("REDIS_HOST", "127.0.0.1").env("REDIS_PORT", redis.port().to_string());
    command.env("SECRETS_BACKEND", "file").env("SECRETS_FILE", &secrets);
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let wrong = command.env("REDIS_PORT", "many").env("REDIS_TLS_ENABLED", "perhaps").output().await.unwrap();
    assert_eq!(wrong.status.code(), Some(78));
    assert!(
        err(&wrong).contains("REDIS_PORT") && err(&wrong).contains("REDIS_TLS_ENABLED"),
        "{}",
        err(&wrong)
    );
}
