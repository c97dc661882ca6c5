//! Health, metrics, queues, ledger, traffic and objectives.

use std::sync::Arc;

use axum::{Json, Router, extract::Query, routing::get};
use chrono::TimeDelta;
use mutt_core::{
    domain::clock::{Clock as _, SystemClock},
    redis::keys::window_counters,
};
use mutt_test_support::eventually;
use redis::AsyncCommands as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PATIENCE, WebUi, read};

#[tokio::test]
async fn health_queues_and_ledger_say_when_redis_is_away() {
    let ui = WebUi::start().await;
    let (status, health) = read(ui.get("/health").send().await.unwrap()).await;
    let expected = json!({
        "status": "healthy", "service": "mutt-webui", "version": "2.3", "redis": "connected", "database": "connected"
    });
    assert_eq!((status, health), (200, expected));
    let queues = ui.read("/api/v2/queues").await;
    assert_eq!(queues["stages"].as_array().unwrap().len(), 4);
    assert_eq!((&queues["stages"][0]["queue"], &queues["dead"]), (&json!("mutt:ingest_queue"), &json!(0)));
    let ledger = ui.read("/api/v2/ledger").await;
    assert_eq!((&ledger["balanced"], &ledger["imbalance"]), (&json!(true), &json!(0)));
    assert_eq!(ui.call(Method::GET, "/api/v1/ledger", None).await.0, 404, "version 2 only");

    ui.redis.pause();
    let (status, health) = read(ui.get("/health").send().await.unwrap()).await;
    assert_eq!(
        (status, &health["redis"], &health["database"]),
        (503, &json!("disconnected"), &json!("connected"))
    );
    assert_eq!(ui.get("/health/live").send().await.unwrap().status(), 200);
    let (status, body) = ui.call(Method::GET, "/api/v1/metrics", None).await;
    assert_eq!((status, &body["message"]), (503, &json!("Redis does not answer")));
    eventually("the sampler notices", PATIENCE, async || {
        ui.call(Method::GET, "/api/v2/queues", None).await.0 == 503
    })
    .await;
    assert_eq!(ui.call(Method::GET, "/api/v1/rules", None).await.0, 200, "rules need no Redis");
    ui.redis.resume();
    eventually("it comes back", PATIENCE, async || {
        ui.call(Method::GET, "/api/v2/ledger", None).await.0 == 200
    })
    .await;

    let metrics = ui.get("/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "mutt_webui_api_requests_total{endpoint=\"metrics\",status=\"fail_redis\"} 1",
        "mutt_webui_api_requests_total{endpoint=\"slo\",status=\"success\"} 0",
        "mutt_webui_api_requests_total{endpoint=\"rules\",status=\"success\"} 1",
        "mutt_webui_api_latency_seconds_bucket{endpoint=\"rules\",le=\"0.01\"}",
        "mutt_webui_redis_scan_latency_seconds_count 1",
        "mutt_webui_db_query_latency_ms_count{operation=\"get_rules\"} 1",
        "mutt_ledger_imbalance 0",
        "mutt_stage_waiting{stage=\"alerter\"} 0",
        "mutt_build_info{",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn traffic_is_counted_by_whole_minutes() {
    let ui = WebUi::start().await;
    let mut conn = ui.redis.connection().await;
    let now = SystemClock.now();
    for ago in 0..=2 {
        let [minute, hour, _] = window_counters("mutt:metrics", now - TimeDelta::minutes(ago));
        let _: () = conn.incr(minute, 30).await.unwrap();
        let _: () = conn.incr(hour, 30).await.unwrap();
    }
    let body = ui.read("/api/v1/metrics").await;
    assert!(body["summary"]["current_rate_1m"].as_f64().unwrap() >= 30.0, "{body}");
    let chart = &body["chart_24h"];
    assert_eq!(
        (chart["labels"].as_array().unwrap().len(), chart["data"].as_array().unwrap().len()),
        (24, 24)
    );
    let total: u64 = chart["data"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    assert_eq!(total, 90);

    let cached =
        WebUi::start_on(ui.pool.clone(), Arc::clone(&ui.redis), &[("METRICS_CACHE_TTL", "60")]).await;
    cached.read("/api/v1/metrics").await;
    cached.read("/api/v2/metrics").await;
    let metrics = cached.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("{endpoint=\"metrics\",status=\"success_cached\"} 1"), "{metrics}");
}

#[tokio::test]
async fn objectives_are_unknown_until_prometheus_has_measured_them() {
    let ui = WebUi::start().await;
    let slo = ui.read("/api/v1/slo").await;
    let slos = slo["slos"].as_array().unwrap();
    assert_eq!(slos.len(), 6);
    assert!(slos.iter().all(|slo| slo["status"] == "unknown" && slo["actual_value"].is_null()), "{slo}");

    // A Prometheus in which all goes well, except that one objective was never measured.
    let answer = |Query(query): Query<std::collections::HashMap<String, String>>| async move {
        let query = query["query"].clone();
        let value = match query {
            query if query.contains("mutt_moog_request_latency") => "NaN",
            query if query.contains("quantile") => "0.6",
            query if query.contains("mutt_ingest_requests_total") => "0.98",
            _ => "1",
        };
        Json(
            json!({ "status": "success", "data": { "resultType": "vector", "result": [{ "metric": {}, "value": [1.5, value] }] } }),
        )
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/api/v1/query", get(answer));
    let life = mutt_core::runtime::Lifecycle::for_tests();
    let its_life = life.clone();
    life.spawn_critical(
        "prometheus",
        async move { mutt_core::http::serve(listener, router, &its_life).await },
    );
    let ui = WebUi::start_on(ui.pool.clone(), Arc::clone(&ui.redis), &[("PROMETHEUS_URL", &url)]).await;
    let slo = eventually("objectives are measured", PATIENCE, async || {
        let slo = ui.read("/api/v2/slo").await;
        slo["timestamp"].is_string().then_some(slo)
    })
    .await;
    let of = |name: &str| {
        slo["slos"].as_array().unwrap().iter().find(|slo| slo["slo_name"] == name).unwrap().clone()
    };
    assert_eq!(of("ingestor_availability")["status"], "critical");
    assert_eq!(of("ingestor_latency_p99")["status"], "breaching");
    assert_eq!(of("alerter_processing_success")["status"], "ok");
    assert_eq!(of("forwarder_latency_p99")["status"], "unknown");
    assert_eq!(of("forwarder_latency_p99")["target_seconds"], 2.0);
    assert_eq!(of("ingestor_availability")["window_hours"], 24);
    life.abort("done");
}
