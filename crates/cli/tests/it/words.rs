//! What the command says, and with which code it ends.

use mutt_test_support::{RedisServer, free_port};
use serde_json::Value;

use crate::{err, out, run};

#[tokio::test]
async fn every_command_teaches_by_examples() {
    for command in ["up", "send", "queues", "ledger", "migrate", "seed", "moog-sim", "config"] {
        let help = run(&[command, "--help"]).await;
        assert_eq!(help.status.code(), Some(0), "{command}: {}", err(&help));
        let text = out(&help);
        assert!(text.contains("Examples:"), "{command} --help has no examples");
        assert!(text.contains("--json"), "{command} has no --json");
    }
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_64() {
    for words in [
        &["sned"][..],
        &["send", "udp", "--rate", "fast"],
        &["send", "udp", "--rate", "-1"],
        &["moog-sim", "--fault", "crash"],
        &["queues", "--redis", "not an address"],
    ] {
        let refused = run(words).await;
        assert_eq!(refused.status.code(), Some(64), "{words:?}: {}", err(&refused));
        assert!(!err(&refused).is_empty());
    }
}

#[tokio::test]
async fn what_is_away_ends_with_69_and_says_what() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let redis = format!("redis://{nobody}/");
    let url = format!("http://{nobody}/ingest");
    for (words, part) in [
        (&["queues", "--redis", &redis][..], "Redis"),
        (&["send", "tcp", "--to", &nobody], &nobody),
        (&["send", "http", "--url", &url, "--api-key", "k"], &url),
        (&["send", "udp", "no-such-file.json"], "no-such-file.json"),
    ] {
        let failed = run(words).await;
        assert_eq!(failed.status.code(), Some(69), "{words:?}: {}", err(&failed));
        assert!(err(&failed).contains(part), "{words:?}: {}", err(&failed));
    }
}

#[tokio::test]
async fn an_error_is_json_when_json_was_asked_for() {
    let redis = format!("redis://127.0.0.1:{}/", free_port());
    let failed = run(&["ledger", "--json", "--redis", &redis]).await;
    let error: Value = serde_json::from_str(&err(&failed)).unwrap();
    assert_eq!(error["exit_code"], 69);
    assert!(error["error"].as_str().unwrap().contains("Redis"), "{error}");
}

#[tokio::test]
async fn an_empty_redis_has_empty_queues_and_a_balanced_ledger() {
    let redis = RedisServer::start().await;
    let queues = run(&["queues", "--json", "--redis", &redis.url()]).await;
    let depths: Value = serde_json::from_str(&out(&queues)).unwrap();
    assert_eq!(depths["stages"][0]["queue"], "mutt:ingest_queue");
    assert_eq!(depths["stages"][0]["waiting"], 0);
    let ledger = run(&["ledger", "--redis", &redis.url()]).await;
    assert_eq!(ledger.status.code(), Some(0));
    assert!(out(&ledger).contains("Every event is accounted for."), "{}", out(&ledger));
}

#[tokio::test]
async fn an_unbalanced_ledger_ends_with_1() {
    let redis = RedisServer::start().await;
    let mut connection = redis.connection().await;
    let counted: i64 = redis::cmd("HINCRBY")
        .arg("mutt:ledger")
        .arg("alerter:in")
        .arg(5)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(counted, 5);
    let ledger = run(&["ledger", "--json", "--redis", &redis.url()]).await;
    assert_eq!(ledger.status.code(), Some(1));
    let value: Value = serde_json::from_str(&out(&ledger)).unwrap();
    assert_eq!(value["stages"][0]["imbalance"], 5);
}
