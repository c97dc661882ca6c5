//! A Moogsoft behind TLS, with a certificate of a private authority, as on premises.

use std::{fs, sync::Arc};

use axum::{Router, http::HeaderMap, routing::post};
use mutt_core::{
    http::{serve_tls, tls::ServerTls},
    runtime::Lifecycle,
    settings::http::TlsFiles,
};
use mutt_test_support::{Authority, eventually, install_tls_provider};
use tokio::{net::TcpListener, sync::Mutex};

use crate::harness::{LIMIT, Stack, alerts};

/// Serves `/events` over TLS and keeps the ids of what came.
async fn receiver(
    authority: &Authority,
    folder: &std::path::Path,
) -> (String, Arc<Mutex<Vec<String>>>, Lifecycle) {
    install_tls_provider();
    let identity = authority.issue_for_loopback();
    let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem"), client_ca: None };
    fs::write(&files.cert, &identity.certificate_pem).expect("a writable folder");
    fs::write(&files.key, &identity.key_pem).expect("a writable folder");
    let came = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&came);
    let router = Router::new().route(
        "/events",
        post(move |headers: HeaderMap| async move {
            let id = headers.get("idempotency-key").and_then(|id| id.to_str().ok()).unwrap_or_default();
            seen.lock().await.push(id.to_owned());
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}/events", listener.local_addr().expect("it is bound"));
    let (lifecycle, tls) = (Lifecycle::for_tests(), ServerTls::for_http(&files).expect("a good pair"));
    let life = lifecycle.clone();
    lifecycle.spawn_critical("receiver", async move { serve_tls(listener, tls, router, &life).await });
    (url, came, lifecycle)
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_named_and_only_then() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (url, came, lifecycle) = receiver(&authority, folder.path()).await;
    let mut stack = Stack::start().await;
    stack.send_to(url);
    let wary = stack.forwarder().await;
    stack.push(alerts(20)).await;
    let state = r#"mutt_circuit_breaker_state{name="moogsoft"}"#;
    eventually("nothing is sent to a stranger", LIMIT, async || wary.metric(state).await == 2).await;
    wary.stop().await;
    assert!(came.lock().await.is_empty() && stack.dead().await.is_empty());

    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    stack.set("MOOG_CA_CERT_PATH", ca.to_str().unwrap());
    let trusting = stack.forwarder().await;
    stack.delivered(20).await;
    assert_eq!(came.lock().await.len(), 20);
    trusting.stop().await;
    lifecycle.drain("the test");
}
