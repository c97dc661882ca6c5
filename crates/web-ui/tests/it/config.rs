//! Live settings through the API.

use std::sync::Arc;

use mutt_core::db;
use mutt_test_support::{PostgresServer, RedisServer};
use redis::AsyncCommands as _;
use reqwest::Method;
use serde_json::json;

use crate::harness::{WebUi, faulty_fields, pool};

#[tokio::test]
async fn a_setting_is_changed_seen_at_once_audited_and_given_back() {
    let ui = WebUi::start().await;
    let before = ui.read("/api/v1/config").await;
    assert_eq!(before["config"]["moog_rate_limit"], "50", "the default counts");
    assert!(before["config"].as_object().unwrap().len() >= 39);
    let path = "/api/v1/config/moog_rate_limit";
    let (status, changed) =
        ui.call(Method::PUT, path, Some(json!({ "value": 80, "reason": "INC-412" }))).await;
    let expected = json!({ "key": "moog_rate_limit", "old_value": null, "new_value": "80" });
    assert_eq!((status, changed), (200, expected));
    let (status, changed) = ui.call(Method::PUT, path, Some(json!({ "value": " 90 " }))).await;
    assert_eq!((status, &changed["old_value"], &changed["new_value"]), (200, &json!("80"), &json!("90")));
    assert_eq!(ui.read("/api/v2/config").await["config"]["moog_rate_limit"], "90");
    let one = ui.read("/api/v2/config/moog_rate_limit").await;
    assert_eq!(
        (&one["value"], &one["default"], &one["group"]),
        (&json!("90"), &json!("50"), &json!("forwarder"))
    );
    let (status, back) = ui.call(Method::DELETE, path, None).await;
    assert_eq!((status, &back["new_value"]), (200, &json!(null)));

    let history = ui.read("/api/v1/config/history?key=moog_rate_limit").await;
    let told: Vec<_> =
        history["history"].as_array().unwrap().iter().map(|row| row["operation"].clone()).collect();
    assert_eq!(told, ["DELETE", "UPDATE", "CREATE"]);
    assert_eq!(history["history"][2]["reason"], "INC-412");
    assert_eq!(history["pagination"]["total"], 3);

    for value in [json!("fast"), json!(0), json!(-1), json!(1.5), json!(null), json!([1]), json!({})] {
        let (status, body) = ui.call(Method::PUT, path, Some(json!({ "value": value }))).await;
        assert_eq!((status, faulty_fields(&body)), (422, vec!["value"]), "{value}");
    }
    assert_eq!(ui.call(Method::PUT, path, Some(json!({}))).await.0, 400);
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(ui.call(method, "/api/v1/config/no_such_setting", None).await.0, 404);
    }
    let (status, body) = ui.call(Method::PUT, "/api/v1/config/moog_limit", Some(json!({ "value": 1 }))).await;
    assert_eq!(status, 404);
    assert!(body["message"].as_str().unwrap().contains("moog_rate_limit"), "{body}");
    assert_eq!(ui.read("/api/v1/config/history").await["pagination"]["total"], 3, "refusals are no changes");

    // Somebody stored by hand what does not fit.
    let mut conn = ui.redis.connection().await;
    let _: () = conn.set("mutt:config:moog_rate_limit", "fast").await.unwrap();
    let listed = ui.read("/api/v1/config").await;
    assert_eq!(listed["config"]["moog_rate_limit"], "50", "it is passed over");
    assert_eq!(ui.read("/api/v2/config/moog_rate_limit").await["fits"], false);
}

#[tokio::test]
async fn without_the_database_no_setting_changes_and_without_redis_all_says_so() {
    let mut postgres = PostgresServer::start().await;
    let pool = pool(&postgres.database().await).await;
    db::migrate(&pool).await.unwrap();
    let ui = WebUi::start_on(pool, Arc::new(RedisServer::start().await), &[]).await;
    let path = "/api/v1/config/moog_rate_limit";
    assert_eq!(ui.call(Method::PUT, path, Some(json!({ "value": 80 }))).await.0, 200);

    postgres.kill();
    let (status, body) = ui.call(Method::PUT, path, Some(json!({ "value": 90 }))).await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(body["message"], "the database does not answer");
    assert_eq!(ui.read(path).await["value"], "80");
    let (status, body) = ui.call(Method::GET, "/api/v1/rules", None).await;
    assert_eq!(status, 503);
    assert!(!body.to_string().to_lowercase().contains("connection"), "no inner error leaves: {body}");
    postgres.restart().await;
    assert_eq!(ui.call(Method::PUT, path, Some(json!({ "value": 90 }))).await.0, 200);
}
