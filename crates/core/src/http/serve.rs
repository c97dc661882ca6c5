//! Serves a router on one listener until the drain.

use std::{io, pin::pin, time::Duration};

use anyhow::Context as _;
use axum::{Router, extract::ConnectInfo};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{net::TcpListener, task::JoinSet};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::runtime::Lifecycle;

/// A client gets so long for its request line and headers; slower ones are attacks or dead.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// After a failed accept (as when out of file descriptors): long enough to let others finish, short enough to notice.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until the lifecycle drains, with each peer's address as `ConnectInfo<SocketAddr>`; then takes no connection more, finishes the requests that were begun, and
/// returns. Whatever is left when the lifecycle aborts is dropped, so a slow client cannot hold the process.
///
/// # Errors
/// Only when the listener has no address, that is, when it is broken from the start.
pub async fn serve(listener: TcpListener, router: Router, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let address = listener.local_addr().context("reading the listener's address")?;
    let (drain, abort) = (lifecycle.draining(), lifecycle.aborting());
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        // Finished connections are let go of as others come.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = drain.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_client_fault(&error) {
                    warn!(%error, %address, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        // Answers are small and waited for; a socket that refuses is closed anyway.
        let _best_effort = stream.set_nodelay(true);
        let router = router.clone();
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request)
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service).into_owned());
        connections.spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "connection ended early");
            }
        });
    }
    drop(listener);
    let finished = pin!(graceful.shutdown());
    tokio::select! {
        () = finished => {}
        () = abort.cancelled() => connections.abort_all(),
    }
    Ok(())
}

fn is_client_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
