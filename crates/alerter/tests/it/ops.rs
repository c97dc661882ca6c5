//! What people and Prometheus see of a running alerter.

use serde_json::Value;

use crate::harness::Stack;

#[tokio::test]
async fn health_and_metrics_answer_where_they_always_did() {
    let stack = Stack::start().await;
    let alerter = stack.alerter().await.ready().await;
    let (status, body) = alerter.get(&alerter.health, "/health").await;
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!((&health["service"], &health["version"]), (&"mutt-alerter".into(), &"2.3".into()));
    assert_eq!(alerter.get(&alerter.health, "/health/live").await.0, 200);
    assert_eq!(alerter.get(&alerter.health, "/nothing").await.0, 404);
    let (status, page) = alerter.get(&alerter.metrics, "/metrics").await;
    assert_eq!(status, 200);
    for name in [
        "mutt_alerter_events_processed_total",
        "mutt_alerter_cache_rules_count",
        "mutt_db_write_latency_ms_bucket",
        "mutt_alerter_queue_depth",
        "mutt_alerter_dlq_depth",
    ] {
        assert!(page.contains(name), "{name} is missing");
    }
    mutt_test_support::eventually("partitions are made ahead", crate::harness::LIMIT, async || {
        alerter.metric("mutt_alerter_partitions_ahead").await >= 3
    })
    .await;
    alerter.stop().await;
}
