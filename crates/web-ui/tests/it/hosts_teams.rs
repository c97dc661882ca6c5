//! The API of development hosts and device teams.

use reqwest::Method;
use serde_json::json;

use crate::harness::{WebUi, faulty_fields};

#[tokio::test]
async fn development_hosts_come_and_go() {
    let ui = WebUi::start().await;
    let hosts = "/api/v1/dev-hosts";
    let (status, _) =
        ui.call(Method::POST, hosts, Some(json!({ "hostname": " Lab-SW1 ", "reason": "new lab" }))).await;
    assert_eq!(status, 201);
    assert_eq!(ui.read(hosts).await["hosts"][0]["hostname"], "Lab-SW1");
    let (status, body) =
        ui.call(Method::POST, "/api/v2/dev-hosts", Some(json!({ "hostname": "lab-sw1" }))).await;
    assert_eq!((status, faulty_fields(&body)), (409, vec!["hostname"]));
    assert_eq!(ui.call(Method::POST, hosts, Some(json!({}))).await.0, 400);
    for name in [
        json!(""),
        json!("a b"),
        json!("a/b"),
        json!("x".repeat(256)),
        json!(5),
        json!(null),
        json!("a\u{0}"),
    ] {
        let (status, body) = ui.call(Method::POST, hosts, Some(json!({ "hostname": name }))).await;
        assert_eq!((status, faulty_fields(&body).first().copied()), (422, Some("hostname")), "{name}");
    }
    assert_eq!(ui.call(Method::DELETE, "/api/v1/dev-hosts/LAB-SW1", None).await.0, 200);
    assert_eq!(ui.call(Method::DELETE, "/api/v1/dev-hosts/LAB-SW1", None).await.0, 404);
    assert_eq!(ui.call(Method::DELETE, "/api/v1/dev-hosts/%00", None).await.0, 400);
    let audit = ui.read("/api/v1/audit?table_name=development_hosts").await;
    assert_eq!(audit["pagination"]["total"], 2);
    assert_eq!(audit["logs"][1]["reason"], "new lab");
    assert_eq!(audit["logs"][1]["record_key"], "Lab-SW1");
}

#[tokio::test]
async fn teams_are_versioned() {
    let ui = WebUi::start().await;
    let team = json!({ "hostname": "core1", "team_assignment": "NetOps" });
    assert_eq!(ui.call(Method::POST, "/api/v1/teams", Some(team.clone())).await.0, 201);
    assert_eq!(ui.call(Method::POST, "/api/v1/teams", Some(team)).await.0, 409);
    assert_eq!(ui.call(Method::POST, "/api/v1/teams", Some(json!({ "hostname": "x" }))).await.0, 400);
    let path = "/api/v2/teams/core1";
    let (status, changed) =
        ui.call(Method::PUT, path, Some(json!({ "team_assignment": "Security", "version": 1 }))).await;
    assert_eq!((status, &changed["team"]["version"]), (200, &json!(2)));
    let (status, late) =
        ui.call(Method::PUT, path, Some(json!({ "team_assignment": "Late", "version": 1 }))).await;
    assert_eq!((status, &late["current"]["team_assignment"]), (409, &json!("Security")));
    let (status, _) = ui.call(Method::PUT, path, Some(json!({ "team_assignment": "" }))).await;
    assert_eq!(status, 422);
    assert_eq!(
        ui.call(Method::PUT, "/api/v1/teams/none", Some(json!({ "team_assignment": "x" }))).await.0,
        404
    );
    assert_eq!(ui.read(path).await["team_assignment"], "Security");
    assert_eq!(ui.read("/api/v1/teams").await["teams"].as_array().unwrap().len(), 1);
    assert_eq!(ui.call(Method::DELETE, path, None).await.0, 200);
    assert_eq!(ui.call(Method::DELETE, path, None).await.0, 404);
    assert_eq!(ui.read("/api/v2/config-audit?table_name=device_teams").await["pagination"]["total"], 3);
}
