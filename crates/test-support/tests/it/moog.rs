//! The Moogsoft stand-in, asked over HTTP.

use std::time::Duration;

use mutt_test_support::{
    eventually, install_tls_provider,
    moog::{Auth, Fault, Manner, MoogServer, Script},
};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

fn client() -> Client {
    install_tls_provider();
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

fn event(id: &str) -> Value {
    json!({ "signature": "sw1::LINK-3-UPDOWN::rule-1", "source": "sw1", "description": "down", "severity": 5, "external_id": id })
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn it_counts_copies_and_shows_what_came() {
    let moog = MoogServer::start().await;
    let http = client();
    for id in ["a", "b", "a"] {
        let request = http.post(moog.url()).header("X-MUTT-Attempt", "1").json(&event(id));
        assert_eq!(status(request).await, 200);
    }
    let several = json!({ "events": [event("b"), event("c")] });
    assert_eq!(status(http.post(moog.url()).json(&several)).await, 200);
    let stats = moog.stats();
    assert_eq!((stats.requests, stats.accepted, stats.unique, stats.duplicates), (4, 5, 3, 2));
    let base = format!("http://{}", moog.address());
    let shown: Value = http.get(format!("{base}/stats")).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["duplicates"], 2);
    let url = format!("{base}/alerts?limit=10&external_id=a");
    let shown: Value = http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["count"], 2);
    assert_eq!(shown["alerts"][0]["event"], event("a"));
    assert_eq!(shown["alerts"][0]["headers"]["x-mutt-attempt"], "1");
    let shown: Value = http.get(format!("{base}/alerts?limit=1")).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["count"], 1);
    assert_eq!(status(http.get(format!("{base}/health"))).await, 200);
}

#[tokio::test]
async fn it_asks_for_the_key_in_the_form_it_was_told() {
    let http = client();
    let forms = |url: String| {
        [
            http.post(&url).bearer_auth("k:y").json(&event("1")),
            http.post(&url).header("apiKey", "k:y").json(&event("2")),
            http.post(&url).basic_auth("k", Some("y")).json(&event("3")),
        ]
    };
    for (auth, expected) in [
        (Auth::None, [200, 200, 200]),
        (Auth::Bearer("k:y".into()), [200, 401, 401]),
        (Auth::ApiKey("k:y".into()), [401, 200, 401]),
        (Auth::Basic("k:y".into()), [401, 401, 200]),
        (Auth::Any("k:y".into()), [200, 200, 200]),
        (Auth::Any("other".into()), [401, 401, 401]),
    ] {
        let moog = MoogServer::builder().auth(auth.clone()).start().await.unwrap();
        let mut seen = Vec::new();
        for request in forms(moog.url()) {
            seen.push(status(request).await);
        }
        assert_eq!(seen, expected, "{auth:?}");
        let refused = expected.iter().filter(|status| **status == 401).count();
        assert_eq!(moog.stats().unauthorized, refused as u64);
    }
    let moog = MoogServer::builder().auth(Auth::Bearer("k".into())).start().await.unwrap();
    let answer = http.post(moog.cloud_url()).json(&event("1")).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["message"], "API Key required");
}

#[tokio::test]
async fn faults_come_as_scripted_and_then_it_is_well_again() {
    let moog = MoogServer::start().await;
    let http = client();
    moog.set_script(Script::steps([
        Fault::status(503).times(2).retry_after("7"),
        Fault { location: Some("/elsewhere".into()), ..Fault::status(302) },
        Fault::manner(Manner::LoginPage),
        Fault::status(202),
    ]));
    let post = || http.post(moog.url()).json(&event("x"));
    for _time in 0..2 {
        let answer = post().send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"7".parse().unwrap())
        );
    }
    assert_eq!(status(post()).await, 302);
    let page = post().send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains("Login.php"));
    assert_eq!(moog.stats().accepted, 0);
    let cached: Value = post().send().await.unwrap().json().await.unwrap();
    assert_eq!(cached["response"]["cached"], 1);
    assert_eq!(status(post()).await, 200);
    assert_eq!((moog.stats().accepted, moog.stats().duplicates), (2, 1));
    assert_eq!(moog.stats().responses[&503], 2);
}

#[tokio::test]
async fn a_script_can_be_changed_over_http() {
    let moog = MoogServer::start().await;
    let http = client();
    let url = format!("http://{}/script", moog.address());
    assert_eq!(status(http.post(&url).body(r#"{"always":{"status":500}}"#)).await, 200);
    assert_eq!(status(http.post(moog.url()).json(&event("x"))).await, 500);
    assert_eq!(status(http.post(&url).body(r#"{"allways":{}}"#)).await, 400);
    let shown: Value = http.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["always"]["status"], 500);
    assert_eq!(status(http.post(&url).body("{}")).await, 200);
    assert_eq!(status(http.post(moog.url()).json(&event("x"))).await, 200);
}

#[tokio::test]
async fn answers_can_be_lost_garbled_slow_endless_or_never_come() {
    let moog = MoogServer::start().await;
    let http = client();
    let post = || http.post(moog.url()).timeout(Duration::from_millis(400)).json(&event("x"));
    for manner in [Manner::Reset, Manner::Garbage, Manner::Silent] {
        moog.set_script(Script::always(Fault::manner(manner)));
        assert!(post().send().await.is_err(), "{manner:?}");
    }
    for manner in [Manner::Drip, Manner::Flood] {
        moog.set_script(Script::always(Fault::manner(manner)));
        let answer = post().send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.bytes().await.unwrap_err().is_timeout(), "{manner:?}");
    }
    let stats = moog.stats();
    assert_eq!((stats.accepted, stats.unique, stats.answers_withheld), (5, 1, 3));
}

#[tokio::test]
async fn wrong_paths_and_methods_answer_as_on_premises() {
    let moog = MoogServer::start().await;
    let http = client();
    let wrong = format!("http://{}/evnts/webhook1", moog.address());
    let page = http.post(wrong).json(&event("x")).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert_eq!(status(http.get(moog.url())).await, 405);
    assert_eq!(status(http.post(moog.url()).body("plain")).await, 415);
    assert_eq!(moog.stats().accepted, 0);
}

#[tokio::test]
async fn it_stops_and_starts_again_on_its_address() {
    let moog = MoogServer::start().await;
    let (address, url, http) = (moog.address(), moog.url(), client());
    moog.stop(Duration::from_secs(5)).await;
    eventually("connections are refused", Duration::from_secs(5), async || {
        http.get(&url).send().await.is_err()
    })
    .await;
    let again = MoogServer::builder().address(address).start().await.unwrap();
    eventually("it answers", Duration::from_secs(5), async || {
        http.post(again.url()).json(&event("x")).send().await.map(|answer| answer.status())
    })
    .await;
}
