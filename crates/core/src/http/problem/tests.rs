//! Both forms of an error answer.

use axum::body::to_bytes;

use super::*;

async fn answered(problem: Problem) -> (HeaderMap, Value) {
    let response = problem.into_response();
    let headers = response.headers().clone();
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    (headers, serde_json::from_slice(&body).unwrap())
}

fn accepting(accept: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))])
}

#[tokio::test]
async fn the_answer_of_old_keeps_its_members_and_gains_those_of_rfc_9457() {
    let problem =
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue-full", "The queue is full", "try later")
            .with("queue_depth", 7)
            .with("queue_limit", 7)
            .retry_after(Duration::from_millis(1200));
    let (headers, body) = answered(problem).await;
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(headers[header::RETRY_AFTER], "2");
    assert_eq!(
        body,
        json!({
            "status": "error",
            "message": "try later",
            "correlation_id": null,
            "type": "urn:mutt:problem:queue-full",
            "title": "The queue is full",
            "detail": "try later",
            "retry_after": 2,
            "queue_depth": 7,
            "queue_limit": 7,
        })
    );
}

#[tokio::test]
async fn a_caller_that_names_problem_json_gets_it_with_a_numeric_status() {
    let problem =
        Problem::not_found("no rule 7").accepted_by(&accepting("text/html, application/problem+json;q=0.8"));
    let (headers, body) = answered(problem).await;
    assert_eq!(headers[header::CONTENT_TYPE], PROBLEM_JSON);
    assert_eq!((&body["status"], &body["title"]), (&404.into(), &"There is no such thing".into()));
}

#[test]
fn only_who_names_problem_json_takes_it() {
    assert!(takes_problem_json(&accepting("APPLICATION/problem+json")));
    for other in ["*/*", "application/json", "application/problem+json;q=0", "application/problem+jsonx"] {
        assert!(!takes_problem_json(&accepting(other)), "{other}");
    }
    assert!(!takes_problem_json(&HeaderMap::new()));
}

#[tokio::test]
async fn the_cause_of_a_500_stays_inside() {
    let (_, body) = answered(Problem::caused_by(&std::io::Error::other("password hunter2 refused"))).await;
    assert_eq!(body["type"], "urn:mutt:problem:internal");
    assert!(!body.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_401_names_its_challenge() {
    let (headers, body) = answered(Problem::unauthorized("send X-API-KEY")).await;
    assert!(headers.contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(body["status"], "error");
}
