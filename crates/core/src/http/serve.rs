//! Serves a router on one listener until the drain.

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    rt::{Read, Write},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;
use tracing::{debug, info, warn};

use super::{body::Unstalled, tls::ServerTls};
use crate::{runtime::Lifecycle, telemetry::report};

/// From the end of one request until the head of the next has arrived: also how long a kept connection may be idle, so not
/// shorter than the minute that senders and proxies keep theirs.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
/// For a TLS handshake, a few round trips.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// After a failed accept (as when out of file descriptors): long enough to let others finish, short enough to notice.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections at once; the next wait in the kernel's backlog. Each costs some 20 KiB, so this many stay below a third of
/// a gigabyte.
const MAX_CONNECTIONS: usize = 16_384;
/// Half of the usual grace: a slow client shall not turn the drain of the others into an abort.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Serves `router` until the drain; each request has its peer as `ConnectInfo<SocketAddr>`.
///
/// Then takes no new connection, lets the requests that were begun finish, and returns after ten seconds at the latest, or
/// when the lifecycle aborts: a slow client cannot hold the process.
///
/// # Errors
/// Only when the listener has no address, that is, when it is broken from the start.
pub async fn serve(listener: TcpListener, router: Router, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    accept(listener, lifecycle, |stream, peer, ends| {
        converse(TokioIo::new(stream), Version::Http1, peer, router.clone(), ends)
    })
    .await
}

/// [`serve`], over TLS: HTTP/2 and 1.1, as the client likes.
///
/// # Errors
/// As [`serve`].
pub async fn serve_tls(
    listener: TcpListener,
    tls: ServerTls,
    router: Router,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    tls.keep_fresh(lifecycle);
    accept(listener, lifecycle, |stream, peer, ends| {
        let (acceptor, router) = (tls.acceptor(), router.clone());
        async move {
            let shaken = tokio::select! {
                shaken = timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)) => shaken,
                () = ends.drain.cancelled() => return,
            };
            match shaken {
                Ok(Ok(stream)) => {
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let version = if is_http2 { Version::Http2 } else { Version::Http1 };
                    converse(TokioIo::new(stream), version, peer, router, ends).await;
                }
                Ok(Err(error)) => debug!(%peer, error = report(&error), "no TLS handshake"),
                Err(_) => debug!(%peer, "the TLS handshake took too long"),
            }
        }
    })
    .await
}

#[derive(Debug, Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

/// How a connection is told to end.
#[derive(Debug, Clone)]
struct Ends {
    /// Finish the request that was begun.
    drain: CancellationToken,
    /// At once.
    cut: CancellationToken,
}

async fn accept<C, F>(listener: TcpListener, lifecycle: &Lifecycle, connection: C) -> anyhow::Result<()>
where
    C: Fn(TcpStream, SocketAddr, Ends) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let address = listener.local_addr().context("reading the listener's address")?;
    let ends = Ends { drain: lifecycle.draining(), cut: CancellationToken::new() };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let place = tokio::select! {
            () = ends.drain.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = ends.drain.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Answers are small and waited for; a socket that refuses is about to fail anyway.
                let _best_effort = stream.set_nodelay(true);
                let talk = connection(stream, peer, ends.clone());
                connections.spawn(async move {
                    talk.await;
                    drop(place);
                });
            }
            Err(error) if is_client_fault(&error) => {}
            Err(error) => {
                warn!(%address, error = report(&error), "cannot accept connections on {address}; trying on");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // From here on the kernel refuses new connections.
    drop(listener);
    connections.close();
    let aborting = lifecycle.aborting();
    tokio::select! {
        () = connections.wait() => {}
        () = sleep(DRAIN_LIMIT) => {}
        () = aborting.cancelled() => {}
    }
    if !connections.is_empty() {
        info!(%address, connections = connections.len(), "cutting off clients of {address} that do not finish");
        ends.cut.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// One connection, to its end.
async fn converse<I>(io: I, version: Version, peer: SocketAddr, router: Router, ends: Ends)
where
    I: Read + Write + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request.map(|body| Body::new(Unstalled::new(body))))
    });
    // The two kinds of connection share no trait that has the graceful stop.
    macro_rules! talk {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            let mut told = false;
            loop {
                tokio::select! {
                    ended = connection.as_mut() => break ended,
                    () = ends.drain.cancelled(), if !told => {
                        connection.as_mut().graceful_shutdown();
                        told = true;
                    }
                    () = ends.cut.cancelled() => return,
                }
            }
        }};
    }
    let ended = match version {
        Version::Http1 => talk!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_LIMIT)
                .pipeline_flush(true)
                .serve_connection(io, service)
        ),
        Version::Http2 => talk!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(HEAD_LIMIT)
                .serve_connection(io, service)
        ),
    };
    if let Err(error) = ended {
        debug!(%peer, error = report(&error), "connection ended early");
    }
}

/// The client went away between knocking and being let in.
fn is_client_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
