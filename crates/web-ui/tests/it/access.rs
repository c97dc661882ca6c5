//! Who gets in, and who may do what.

use std::sync::Arc;

use mutt_test_support::eventually;
use reqwest::{Method, header::HeaderValue};
use serde_json::json;

use crate::harness::{KEY, PATIENCE, WebUi, read};

#[tokio::test]
async fn only_a_known_key_in_a_header_opens_the_api() {
    let ui = WebUi::start().await;
    let status = async |key: Option<HeaderValue>, path: &str| {
        let request = ui.get(path);
        let request = match key {
            Some(key) => request.header("X-API-KEY", key),
            None => request,
        };
        read(request.send().await.unwrap()).await
    };
    for key in [
        None,
        Some(HeaderValue::from_static("")),
        Some(HeaderValue::from_static("wrong")),
        Some(HeaderValue::from_bytes(b"schl\xfcssel").unwrap()),
    ] {
        for path in ["/api/v1/rules", "/api/v2/ledger", "/api/v2/no/such/thing"] {
            let (answer, body) = status(key.clone(), path).await;
            assert_eq!((answer, &body["status"]), (401, &json!("error")), "{key:?} {path}");
        }
    }
    let right = Some(HeaderValue::from_static(KEY));
    assert_eq!(status(right.clone(), "/api/v1/rules").await.0, 200);
    assert_eq!(status(right.clone(), "/api/v2/no/such/thing").await.0, 404);
    let (answer, body) = status(right, &format!("/api/v1/rules?api_key={KEY}")).await;
    assert_eq!(answer, 401);
    assert!(body["message"].as_str().unwrap().contains("X-API-KEY"), "{body}");
}

#[tokio::test]
async fn roles_say_what_a_key_may_do() {
    let ui = WebUi::start().await;
    let call = async |key: &str, method: Method, path: &str, body: serde_json::Value| {
        let request = ui.request(method, path).header("X-API-KEY", key).json(&body);
        read(request.send().await.unwrap()).await
    };
    let host = |name: &str| json!({ "hostname": name });
    let setting = json!({ "value": 80 });
    let (hosts, config) = ("/api/v1/dev-hosts", "/api/v1/config/moog_rate_limit");
    assert_eq!(call("the-viewer-key", Method::GET, hosts, json!({})).await.0, 200);
    let (status, body) = call("the-viewer-key", Method::POST, hosts, host("a")).await;
    assert_eq!(status, 403);
    assert!(body["message"].as_str().unwrap().contains("operator"), "{body}");
    assert_eq!(call("the-operator-key", Method::POST, hosts, host("a")).await.0, 201);
    assert_eq!(call("the-operator-key", Method::PUT, config, setting.clone()).await.0, 403);
    assert_eq!(call(KEY, Method::PUT, config, setting).await.0, 200);
    let audit = ui.read("/api/v1/audit").await;
    assert_eq!(audit["logs"][1]["changed_by"], "key:operator");
}

#[tokio::test]
async fn a_session_is_opened_by_a_key_guarded_against_other_sites_and_ended() {
    let ui = WebUi::start().await;
    let response = ui.submit_login(KEY, "/api/v2/rules").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (303, &"/api/v2/rules".parse::<HeaderValue>().unwrap())
    );
    let set = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains("Secure"), "{set}");
    let elsewhere = ui.submit_login(KEY, "//evil.example").await;
    assert_eq!(elsewhere.headers()["location"], "/");

    let cookie = ui.log_in("the-operator-key").await;
    let post = |origin: Option<&str>| {
        let mut request = ui.request(Method::POST, "/api/v2/dev-hosts").header("cookie", &cookie);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.json(&json!({ "hostname": "a" })).send()
    };
    assert_eq!(ui.get("/api/v2/rules").header("cookie", &cookie).send().await.unwrap().status(), 200);
    assert_eq!(post(Some("http://evil.example")).await.unwrap().status(), 403);
    assert_eq!(post(None).await.unwrap().status(), 403);
    assert_eq!(post(Some(&format!("http://{}", ui.address))).await.unwrap().status(), 201);
    assert_eq!(ui.read("/api/v1/audit").await["logs"][0]["changed_by"], "session:operator");

    let foreign = ui.request(Method::POST, "/login").header("origin", "http://evil.example");
    let foreign =
        foreign.header("content-type", "application/x-www-form-urlencoded").body(format!("key={KEY}"));
    assert_eq!(foreign.send().await.unwrap().status(), 403);

    // Another instance on the same Redis knows the session, and that it was ended.
    let other = WebUi::start_on(ui.pool.clone(), Arc::clone(&ui.redis), &[]).await;
    assert_eq!(other.get("/api/v2/rules").header("cookie", &cookie).send().await.unwrap().status(), 200);
    let out = ui.request(Method::POST, "/logout").header("cookie", &cookie).send().await.unwrap();
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(ui.get("/api/v2/rules").header("cookie", &cookie).send().await.unwrap().status(), 401);

    // A session ends with the key that opened it.
    let cookie = ui.log_in("the-viewer-key").await;
    assert_eq!(ui.get("/api/v2/rules").header("cookie", &cookie).send().await.unwrap().status(), 200);
    ui.secrets.replace([("WEBUI_API_KEY", KEY)]);
    assert_eq!(ui.get("/api/v2/rules").header("cookie", &cookie).send().await.unwrap().status(), 401);
    for forged in ["mutt_session=0000", "mutt_session=", "mutt_session=%00"] {
        assert_eq!(ui.get("/api/v2/rules").header("cookie", forged).send().await.unwrap().status(), 401);
    }
}

#[tokio::test]
async fn guessing_at_the_login_form_has_to_wait() {
    let ui = WebUi::start().await;
    for _ in 0..5 {
        let wrong = ui.submit_login("wrong", "/").await;
        assert_eq!(wrong.status(), 401);
        assert!(wrong.text().await.unwrap().contains("not known"));
    }
    let right = ui.submit_login(KEY, "/").await;
    assert_eq!(right.status(), 429);
    assert!(right.headers().contains_key("retry-after"));
    let metrics = ui.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("mutt_webui_logins_total{outcome=\"refused\"} 5"), "{metrics}");
    assert!(metrics.contains("mutt_webui_logins_total{outcome=\"throttled\"} 1"));
    assert_eq!(
        ui.call(Method::GET, "/api/v2/rules", None).await.0,
        200,
        "scripts with the right key are not locked out"
    );
}

#[tokio::test]
async fn sessions_outlive_redis() {
    let pool =
        crate::harness::pool(&mutt_test_support::PostgresServer::shared().await.database().await).await;
    mutt_core::db::migrate(&pool).await.unwrap();
    let redis = mutt_test_support::RedisServer::start().await;
    let ui = WebUi::start_on(pool, Arc::new(redis), &[]).await;
    let cookie = ui.log_in(KEY).await;
    ui.redis.pause();
    eventually("the page says that Redis is away", PATIENCE, async || {
        ui.page("/", &cookie).await.contains("Redis has not answered")
    })
    .await;
    let during = ui.log_in("the-viewer-key").await;
    ui.page("/", &during).await;
    ui.redis.resume();
}
