//! Serving over real sockets: drain, clients that do not finish, TLS with certificates that change.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::ConnectInfo,
    routing::{get, post},
};
use mutt_core::{
    http::{ServerTls, serve, serve_tls},
    runtime::{Exit, Lifecycle},
    settings::http::TlsFiles,
};
use mutt_test_support::{Authority, install_tls_provider};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::Instant,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// Serves `router` on a free port as a critical task.
async fn serving(router: Router) -> (SocketAddr, Lifecycle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lifecycle = Lifecycle::for_tests();
    let life = lifecycle.clone();
    lifecycle.spawn_critical("http", async move { serve(listener, router, &life).await });
    (address, lifecycle)
}

async fn read_to_end(mut stream: impl AsyncRead + Unpin) -> String {
    let mut answer = Vec::new();
    // A peer that cuts the connection has said all it will.
    let _cut = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_drain_refuses_new_connections_and_finishes_begun_requests() {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, wait) = (Arc::clone(&begun), Arc::clone(&finish));
    let router = Router::new().route(
        "/slow",
        get(move || async move {
            seen.notify_one();
            wait.notified().await;
            "done"
        }),
    );
    let (address, lifecycle) = serving(router).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    begun.notified().await;

    lifecycle.drain("test");
    // The idle connection is closed by the drain, which tells that the listener is gone too.
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
    finish.notify_one();
    let answer = read_to_end(client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("done"), "{answer}");
    assert_eq!(lifecycle.wait().await, Exit::Clean);
}

#[tokio::test]
async fn a_client_that_never_finishes_its_request_does_not_hold_the_drain() {
    let (address, lifecycle) = serving(Router::new().route("/", get(|| async { "hello" }))).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    client.read_exact(&mut answer).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();

    tokio::time::pause();
    let began = Instant::now();
    lifecycle.drain("test");
    assert_eq!(lifecycle.wait().await, Exit::Clean);
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
    read_to_end(client).await;
}

#[tokio::test]
async fn an_abort_cuts_off_whoever_is_left() {
    let router = Router::new().route("/forever", get(std::future::pending::<()>));
    let (address, lifecycle) = serving(router).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /forever HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    lifecycle.abort("test");
    assert_eq!(lifecycle.wait().await, Exit::Clean);
    assert_eq!(read_to_end(client).await, "");
}

#[tokio::test]
async fn a_body_that_stops_coming_fails_the_request() {
    let router = Router::new().route("/", post(|body: Bytes| async move { body }));
    let (address, _lifecycle) = serving(router).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        .await
        .unwrap();
    // The interim answer says that the handler waits for the body.
    let mut interim = [0; 25];
    client.read_exact(&mut interim).await.unwrap();
    client.write_all(b"abc").await.unwrap();
    tokio::time::pause();
    let answer = read_to_end(client).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_handler_knows_its_peer() {
    let router = Router::new()
        .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }));
    let (address, _lifecycle) = serving(router).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let me = client.local_addr().unwrap().to_string();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(read_to_end(client).await.ends_with(&me));
}

/// One request over TLS; the answer, and the certificate that the server showed.
async fn ask_over_tls(address: SocketAddr, authority: &str) -> (String, Vec<u8>) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    (read_to_end(stream).await, certificate)
}

#[tokio::test]
async fn tls_serves_and_takes_over_a_renewed_certificate() {
    install_tls_provider();
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        cert: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
        client_ca: None,
    };
    let renew = || {
        let identity = authority.issue_for_loopback();
        std::fs::write(&files.cert, &identity.certificate_pem).unwrap();
        std::fs::write(&files.key, &identity.key_pem).unwrap();
    };
    renew();
    let tls = ServerTls::for_http(&files).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lifecycle = Lifecycle::for_tests();
    let (life, served) = (lifecycle.clone(), tls.clone());
    let router = Router::new().route("/", get(|| async { "hello" }));
    lifecycle.spawn_critical("https", async move { serve_tls(listener, served, router, &life).await });

    let (answer, first) = ask_over_tls(address, authority.pem()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
    assert!(!tls.reload().unwrap(), "nothing has changed");

    std::fs::write(&files.key, "no key").unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("key.pem"));
    assert_eq!(ask_over_tls(address, authority.pem()).await.1, first, "the old one stays");

    renew();
    assert!(tls.reload().unwrap());
    assert_ne!(ask_over_tls(address, authority.pem()).await.1, first);
    lifecycle.drain("test");
    assert_eq!(lifecycle.wait().await, Exit::Clean);
}
