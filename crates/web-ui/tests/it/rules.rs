//! The API of rules, versions 1 and 2.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{KEY, WebUi, faulty_fields, read};

fn rule() -> Value {
    json!({
        "match_string": "LINK-DOWN",
        "prod_handling": "Page_and_ticket",
        "dev_handling": "Ignore",
        "team_assignment": "NetOps",
    })
}

fn with(mut body: Value, changes: impl Into<Value>) -> Value {
    if let (Some(members), Value::Object(changes)) = (body.as_object_mut(), changes.into()) {
        members.extend(changes);
    }
    body
}

#[tokio::test]
async fn a_rule_is_made_changed_and_retired_with_an_audit_row_each() {
    let ui = WebUi::start().await;
    let request = ui.request(Method::POST, "/api/v1/rules").header("X-API-KEY", KEY);
    let request =
        request.header("X-Correlation-ID", "ticket-77").json(&with(rule(), json!({ "reason": "INC-412" })));
    let (status, made) = read(request.send().await.unwrap()).await;
    assert_eq!((status, made["message"].as_str()), (201, Some("rule created")), "{made}");
    let id = made["id"].as_i64().unwrap();
    let path = format!("/api/v2/rules/{id}");

    let stored = ui.read(&path).await;
    assert_eq!(stored["match_type"], "contains");
    assert_eq!(
        (&stored["priority"], &stored["is_active"], &stored["version"]),
        (&json!(100), &json!(true), &json!(1))
    );
    assert_eq!(stored["created_by"], "key:default");
    assert!(stored["created_at"].as_str().unwrap().ends_with('Z'), "{stored}");

    // Who reads a rule, edits it and writes it back, says all that is there.
    let edited = with(stored.clone(), json!({ "priority": "5", "reason": "more urgent" }));
    let (status, changed) = ui.call(Method::PUT, &path, Some(edited)).await;
    assert_eq!(
        (status, &changed["rule"]["priority"], &changed["rule"]["version"]),
        (200, &json!(5), &json!(2))
    );
    let (status, late) = ui.call(Method::PUT, &path, Some(with(stored, json!({ "priority": 6 })))).await;
    assert_eq!((status, &late["current"]["version"]), (409, &json!(2)), "{late}");
    // Without a version a partial change goes on top of whatever is there.
    let (status, partial) = ui.call(Method::PUT, &path, Some(json!({ "syslog_severity": 3 }))).await;
    assert_eq!(
        (status, &partial["rule"]["priority"], &partial["rule"]["syslog_severity"]),
        (200, &json!(5), &json!(3))
    );
    let (status, cleared) = ui.call(Method::PUT, &path, Some(json!({ "syslog_severity": null }))).await;
    assert_eq!((status, &cleared["rule"]["syslog_severity"]), (200, &Value::Null));

    let (status, _) =
        ui.call(Method::DELETE, &path, Some(json!({ "reason": "obsolete", "version": 1 }))).await;
    assert_eq!(status, 409);
    let (status, gone) = ui.call(Method::DELETE, &path, Some(json!({ "reason": "obsolete" }))).await;
    assert_eq!((status, gone["message"].as_str()), (200, Some("rule deleted")));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(ui.call(method, &path, None).await.0, 404);
    }
    assert_eq!(ui.call(Method::PUT, &path, Some(json!({ "priority": 1 }))).await.0, 404);
    assert_eq!(ui.read("/api/v1/rules").await["rules"], json!([]));
    let archived = ui.read("/api/v2/rules?archived=true").await;
    assert!(archived["rules"][0]["archived_at"].is_string(), "{archived}");

    let audit = ui.read("/api/v2/config-audit?table_name=alert_rules").await;
    let changes = audit["changes"].as_array().unwrap();
    let told: Vec<_> =
        changes.iter().map(|row| (row["operation"].as_str().unwrap(), row["reason"].as_str())).collect();
    assert_eq!(
        told,
        [
            ("DELETE", Some("obsolete")),
            ("UPDATE", None),
            ("UPDATE", None),
            ("UPDATE", Some("more urgent")),
            ("CREATE", Some("INC-412"))
        ]
    );
    assert_eq!(changes[4]["correlation_id"], "ticket-77");
    assert_eq!(changes[4]["changed_by"], "key:default");
    assert_eq!(
        (&changes[3]["old_values"]["priority"], &changes[3]["new_values"]["priority"]),
        (&json!(100), &json!(5))
    );
    assert!(!audit.to_string().contains(KEY), "no key is ever shown");
}

#[tokio::test]
async fn rules_that_cannot_match_or_be_read_are_refused_with_all_that_is_wrong() {
    let ui = WebUi::start().await;
    let post = async |body: Value| ui.call(Method::POST, "/api/v2/rules", Some(body)).await;

    let (status, body) = post(json!({ "match_string": "x" })).await;
    assert_eq!(status, 400);
    assert_eq!(faulty_fields(&body), ["prod_handling", "dev_handling", "team_assignment"]);
    let (status, body) =
        post(json!({ "prod_handling": "x", "dev_handling": "x", "team_assignment": "x" })).await;
    assert_eq!((status, faulty_fields(&body)), (400, vec!["match_string"]));

    let (status, body) = post(with(
        rule(),
        json!({ "match_type": "regex", "match_string": "a(b", "syslog_severity": 9, "priority": "high", "prod_handling": "page_onyl" }),
    ))
    .await;
    assert_eq!(status, 422, "{body}");
    let mut fields = faulty_fields(&body);
    fields.sort_unstable();
    assert_eq!(fields, ["match_string", "priority", "prod_handling", "syslog_severity"]);
    assert!(body["errors"].as_array().unwrap().iter().any(|error| error["column"].is_u64()), "{body}");

    for (changes, field) in [
        (json!({ "match_type": "wildcard" }), "match_type"),
        (json!({ "match_type": "oid_prefix" }), "match_string"),
        (json!({ "trap_oid": "1.3.6" }), "trap_oid"),
        (json!({ "match_string": "" }), "match_string"),
        (json!({ "match_string": "x".repeat(256) }), "match_string"),
        (json!({ "match_string": 5 }), "match_string"),
        (json!({ "team_assignment": " " }), "team_assignment"),
        (json!({ "priority": 99_999_999_999_i64 }), "priority"),
        (json!({ "priority": 1.5 }), "priority"),
        (json!({ "is_active": "yes" }), "is_active"),
        (json!({ "reason": "x".repeat(1001) }), "reason"),
        (json!({ "prioritiy": 1 }), "prioritiy"),
    ] {
        let (status, body) = post(with(rule(), changes.clone())).await;
        assert_eq!(status, 422, "{changes}: {body}");
        assert!(faulty_fields(&body).contains(&field), "{changes}: {body}");
        assert_eq!(body["status"], "error");
        assert!(body["correlation_id"].is_string());
    }
    // The original did not look at what it did not know.
    let (status, _) =
        ui.call(Method::POST, "/api/v1/rules", Some(with(rule(), json!({ "colour": "red" })))).await;
    assert_eq!(status, 201);
    let trap = json!({ "trap_oid": ".1.3.6.1.4", "prod_handling": "ignore", "dev_handling": "ignore", "team_assignment": "x" });
    let (status, made) = post(trap).await;
    assert_eq!((status, &made["rule"]["match_type"]), (201, &json!("oid_prefix")));

    for (body, kind, expected) in [
        ("{\"match_string\":", "application/json", 400),
        ("[]", "application/json", 400),
        ("a=b", "application/x-www-form-urlencoded", 415),
        ("\u{0}", "application/json; charset=utf-8", 400),
    ] {
        let request = ui.request(Method::POST, "/api/v1/rules").header("X-API-KEY", KEY);
        let response = request.header("content-type", kind).body(body).send().await.unwrap();
        assert_eq!(response.status(), expected, "{body:?}");
    }
    let huge = format!("{{\"reason\":\"{}\"}}", "x".repeat(100_000));
    let request = ui.request(Method::POST, "/api/v1/rules").header("X-API-KEY", KEY);
    let response = request.header("content-type", "application/json").body(huge).send().await.unwrap();
    assert_eq!(response.status(), 413);
    for path in ["/api/v1/rules/abc", "/api/v1/rules/99999999999", "/api/v1/rules/-1", "/api/v1/rules/12345"]
    {
        assert_eq!(ui.call(Method::GET, path, None).await.0, 404, "{path}");
    }
    assert_eq!(ui.call(Method::PATCH, "/api/v1/rules/1", None).await.0, 405);
    let (status, body) = ui.call(Method::GET, "/api/v2/rules?archived=perhaps&colour=red", None).await;
    assert_eq!((status, faulty_fields(&body)), (400, vec!["archived", "colour"]));
}

#[tokio::test]
async fn answers_tell_their_version_and_what_follows_it() {
    let ui = WebUi::start().await;
    for (path, deprecated, successor) in [
        ("/api/v1/rules", "true", Some("</api/v2/rules>; rel=\"successor-version\"")),
        ("/api/v1/audit", "true", Some("</api/v2/config-audit>; rel=\"successor-version\"")),
        ("/api/v2/rules", "false", None),
        ("/api/v2/nothing", "false", None),
    ] {
        let response = ui.get(path).header("X-API-KEY", KEY).send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("x-api-version"), Some("2.5"), "{path}");
        assert_eq!(header("x-api-supported-versions"), Some("2.5, 2.0, 1.0"));
        assert_eq!(header("x-api-deprecated"), Some(deprecated), "{path}");
        assert_eq!(header("link"), successor);
        assert!(header("x-correlation-id").is_some());
    }
    let version = ui.get("/api/v1/version").send().await.unwrap();
    assert_eq!(version.status(), 200, "it needs no key");
    let (_, body) = read(version).await;
    assert_eq!((&body["current"], &body["supported"]), (&json!("2.5"), &json!(["2.5", "2.0", "1.0"])));
    let request =
        ui.get("/api/v1/rules/1").header("X-API-KEY", KEY).header("accept", "application/problem+json");
    let problem = request.send().await.unwrap();
    assert_eq!(problem.headers()["content-type"], "application/problem+json");
}
