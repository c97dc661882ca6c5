//! Reading the event audit and the change log.

use chrono::{DateTime, TimeDelta, Utc};
use mutt_core::{
    db::event_audit,
    domain::{audit::EventAudit, event::EventId},
};
use reqwest::Method;
use serde_json::json;

use crate::harness::{WebUi, event, faulty_fields};

fn start() -> DateTime<Utc> {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn events_are_read_by_page_and_by_cursor() {
    let ui = WebUi::start().await;
    let ids: Vec<EventId> =
        (0..30).map(|second| EventId::new(start() + TimeDelta::seconds(second))).collect();
    let rows: Vec<_> = ids.iter().map(|id| event(*id, id.made_at().unwrap())).collect();
    event_audit::insert_batch(&ui.pool, &rows).await.unwrap();
    let own = EventId::new(start() + TimeDelta::minutes(5));
    let own_text = own.to_string();
    let other = EventAudit {
        hostname: "sw2",
        correlation_id: &own_text,
        ..event(own, start() + TimeDelta::minutes(5))
    };
    event_audit::insert_batch(&ui.pool, &[other]).await.unwrap();

    let first = ui.read("/api/v1/audit-logs?limit=10&hostname=sw1").await;
    assert_eq!(first["logs"].as_array().unwrap().len(), 10);
    let pagination = &first["pagination"];
    assert_eq!(
        (&pagination["page"], &pagination["limit"], &pagination["total"], &pagination["pages"]),
        (&json!(1), &json!(10), &json!(30), &json!(3))
    );
    assert_eq!(first["logs"][0]["received_at"], "2026-11-24T12:00:29Z");
    assert_eq!(first["logs"][0]["event_id"], ids[29].to_string());
    let third = ui.read("/api/v1/audit-logs?limit=10&hostname=sw1&page=3").await;
    assert_eq!(third["logs"][9]["event_id"], ids[0].to_string());
    assert_eq!(third["pagination"]["next_cursor"], json!(null));
    let cursor = pagination["next_cursor"].as_str().unwrap();
    let second = ui.read(&format!("/api/v1/audit-logs?limit=10&hostname=sw1&cursor={cursor}")).await;
    assert_eq!(second["logs"][0]["event_id"], ids[19].to_string());
    assert_eq!(second["pagination"]["total"], json!(null));

    assert_eq!(ui.read("/api/v1/audit-logs?limit=9999").await["pagination"]["limit"], 200);
    assert_eq!(ui.read("/api/v1/audit-logs?limit=-5").await["pagination"]["limit"], 1);
    assert_eq!(ui.read("/api/v1/audit-logs").await["pagination"]["limit"], 50);
    let total = async |query: &str| {
        ui.read(&format!("/api/v2/audit-logs?{query}")).await["pagination"]["total"].clone()
    };
    assert_eq!(total("start_date=2026-11-24T12:00:10Z&end_date=2026-11-24T12:00:19Z").await, 10);
    assert_eq!(total("start_date=2026-11-24T13:00:10%2B01:00&hostname=sw1").await, 20);
    assert_eq!(total("start_date=2026-11-24&end_date=2026-11-24").await, 31);
    assert_eq!(total("start_date=2026-11-25").await, 0);
    assert_eq!(total("rule_id=7&outcome=handled&forwarded=true").await, 31);
    assert_eq!(total("rule_id=8").await, 0);

    let recent = ui.read("/api/v2/events?recent=3").await;
    assert_eq!(recent["events"].as_array().unwrap().len(), 3);
    assert_eq!(recent["events"][0]["hostname"], "sw2");
    let cursor = recent["next_cursor"].as_str().unwrap();
    assert_eq!(
        ui.read(&format!("/api/v2/events?recent=3&cursor={cursor}")).await["events"][0]["event_id"],
        ids[27].to_string()
    );
    assert_eq!(
        ui.read("/api/v2/events?correlation_id=request-1").await["events"].as_array().unwrap().len(),
        30
    );
    assert_eq!(
        ui.read(&format!("/api/v2/events?correlation_id={own}")).await["events"][0]["hostname"],
        "sw2"
    );
    assert_eq!(ui.read(&format!("/api/v2/events/{own}")).await["hostname"], "sw2");
    for unknown in ["nothing", "0190a000-0000-7000-8000-000000000000"] {
        assert_eq!(ui.call(Method::GET, &format!("/api/v2/events/{unknown}"), None).await.0, 404);
    }

    for (query, fields) in [
        ("page=x&limit=y&start_date=yesterday", vec!["limit", "page", "start_date"]),
        ("rule_id=seven&outcome=lost&forwarded=2", vec!["forwarded", "outcome", "rule_id"]),
        ("cursor=tampered", vec!["cursor"]),
        ("page=1000000", vec!["page"]),
    ] {
        let (status, body) = ui.call(Method::GET, &format!("/api/v1/audit-logs?{query}"), None).await;
        let mut found = faulty_fields(&body);
        found.sort_unstable();
        assert_eq!((status, found), (400, fields), "{query}");
    }
    assert_eq!(ui.call(Method::GET, "/api/v2/events?hostnam=sw1", None).await.0, 400);
    assert_eq!(ui.call(Method::GET, "/api/v1/audit-logs?hostname=%00", None).await.0, 400);
}

#[tokio::test]
async fn the_change_log_is_searched_and_paged() {
    let ui = WebUi::start().await;
    for n in 0..5 {
        let body = json!({ "hostname": format!("h{n}") });
        assert_eq!(ui.call(Method::POST, "/api/v1/dev-hosts", Some(body)).await.0, 201);
    }
    let page = ui.read("/api/v1/audit?limit=2&page=2").await;
    assert_eq!((&page["logs"][0]["record_key"], &page["pagination"]["pages"]), (&json!("h2"), &json!(3)));
    let cursor = page["pagination"]["next_cursor"].as_str().unwrap();
    let rest = ui.read(&format!("/api/v2/config-audit?cursor={cursor}")).await;
    assert_eq!(rest["changes"].as_array().unwrap().len(), 1);
    assert_eq!(ui.read("/api/v1/config-audit?operation=create").await["pagination"]["total"], 5);
    assert_eq!(ui.read("/api/v1/audit?operation=DELETE").await["pagination"]["total"], 0);
    assert_eq!(ui.read("/api/v1/audit?changed_by=DEFAULT").await["pagination"]["total"], 5);
    assert_eq!(ui.read("/api/v1/audit?record_key=h3").await["pagination"]["total"], 1);
    let (status, body) = ui.call(Method::GET, "/api/v1/audit?operation=drop&record_id=x", None).await;
    assert_eq!((status, faulty_fields(&body)), (400, vec!["operation", "record_id"]));
}
