//! A TCP link that misbehaves on command.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How the link behaves, for open connections and new ones alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Passes everything on.
    Up,
    /// Closes every open connection; new ones are accepted and closed at once.
    Cut,
    /// Keeps connections open and passes nothing on, either way, until it is [`Link::Up`] again.
    Frozen,
    /// Passes everything on this much later.
    Slow(Duration),
    /// Requests arrive, answers do not: what was done is not known to be done.
    AnswersHeld,
    /// Requests arrive, answers are thrown away for good.
    AnswersLost,
}

/// What connections watch: the counter makes a moment's cut visible to a connection that was not looking.
#[derive(Debug, Clone, Copy)]
struct State {
    link: Link,
    cuts: u64,
}

/// A proxy on a free loopback port in front of one server; dropping it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    // Aborts the accept loop; connections see `closed`.
    _accepting: AbortOnDropHandle<()>,
    closed: CancellationToken,
    accepted: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts a proxy to `upstream`, with the link up.
    ///
    /// # Panics
    /// When no loopback port can be bound.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (state, watched) = watch::channel(State { link: Link::Up, cuts: 0 });
        let closed = CancellationToken::new();
        let accepted = Arc::new(AtomicUsize::new(0));
        let accepting = spawn(accept(listener, upstream, watched, closed.clone(), Arc::clone(&accepted)));
        Self { address, state, _accepting: AbortOnDropHandle::new(accepting), closed, accepted }
    }

    /// Starts a proxy to a loopback port.
    ///
    /// # Panics
    /// When no loopback port can be bound.
    pub async fn to_port(port: u16) -> Self {
        Self::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections were accepted so far, those of a cut link too.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Changes how the link behaves from now on.
    pub fn set(&self, link: Link) {
        self.state.send_modify(|state| {
            state.link = link;
            state.cuts += u64::from(link == Link::Cut);
        });
    }

    /// Closes the connections that are open now; new ones work.
    pub fn drop_connections(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

#[expect(clippy::disallowed_methods, reason = "test tool: its tasks end with the proxy")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(task)
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    state: watch::Receiver<State>,
    closed: CancellationToken,
    accepted: Arc<AtomicUsize>,
) {
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        let (state, closed) = (state.clone(), closed.clone());
        drop(spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = carry(client, upstream, state) => {}
            }
        }));
    }
}

/// Carries one connection until either side or the link ends it.
async fn carry(client: TcpStream, upstream: SocketAddr, state: watch::Receiver<State>) {
    let opened = *state.borrow();
    if opened.link == Link::Cut {
        return;
    }
    let mut cut = state.clone();
    let carried = async {
        let Ok(server) = TcpStream::connect(upstream).await else {
            return;
        };
        drop((client.set_nodelay(true), server.set_nodelay(true)));
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        tokio::join!(
            pump(client_read, server_write, state.clone(), Way::Request),
            pump(server_read, client_write, state, Way::Answer),
        );
    };
    tokio::select! {
        () = carried => {}
        () = until_cut(&mut cut, opened.cuts) => {}
    }
}

/// Returns once the link was cut after this connection was opened, even when it was only for a moment.
async fn until_cut(state: &mut watch::Receiver<State>, cuts_before: u64) {
    if state.wait_for(|state| state.cuts != cuts_before).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Answer,
}

/// Copies one direction; ends with its source, then closes its sink so that the other side sees the end too.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    way: Way,
) {
    let mut buffer = vec![0_u8; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let passes = state
            .wait_for(|now| !matches!((now.link, way), (Link::Frozen, _) | (Link::AnswersHeld, Way::Answer)))
            .await
            .map(|now| now.link);
        let Ok(link) = passes else { break };
        match (link, way) {
            (Link::AnswersLost, Way::Answer) => continue,
            (Link::Slow(delay), _) => tokio::time::sleep(delay).await,
            _ => {}
        }
        if to.write_all(buffer.get(..count).unwrap_or_default()).await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
}
