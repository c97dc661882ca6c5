//! Syslog over TCP (RFC 6587).
//!
//! A connection is read only as fast as Redis takes its events: there is no other way to tell a syslog sender to wait.
//! What one sender can take up is bounded: a connection, one message's length of memory, and the time in which a message
//! that was begun must be finished.

use std::{io, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    buffer::{Buffer, Handful},
    framing::{Ended, Framer, Step},
    intake::{Intake, Peer},
};

/// What is read at once from a sender that has much to say.
const READ_BYTES: usize = 65_536;
/// What an idle connection keeps ready.
const IDLE_BYTES: usize = 4096;
/// How long what a closing connection has already sent is still read at a stop.
const LAST_READ: Duration = Duration::from_millis(200);
/// After an error of `accept`, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A peer that vanished is noticed after about two minutes: a minute of silence and a few unanswered probes.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most connections at once.
    pub(crate) connections: usize,
    /// How long a message may take from its first byte to its last.
    pub(crate) frame_timeout: Duration,
}

/// Accepts connections until draining, then waits for those that are open to hand over what they have.
pub(crate) async fn accept(
    listener: TcpListener,
    limits: Limits,
    intake: Intake,
    buffer: Buffer,
    draining: CancellationToken,
) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = draining.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(error = %error, "accepting a syslog connection failed; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !intake.allows(address.ip()) {
            debug!(peer = %address, "a syslog connection from an address that may not send was closed");
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            intake.metrics().tcp_refused.inc();
            warn!(peer = %address, limit = limits.connections, "too many syslog connections; one was closed");
            continue;
        };
        if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE) {
            debug!(error = %error, "no keep-alive on a syslog connection");
        }
        let connection = Connection {
            framer: Framer::new(intake.max_bytes()),
            peer: Peer::new(address.ip()),
            intake: intake.clone(),
            buffer: buffer.clone(),
            frame_timeout: limits.frame_timeout,
            received: Vec::new(),
            _place: place,
        };
        connections.spawn(serve(connection, stream, draining.clone()));
    }
    drop((listener, buffer));
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn serve(mut connection: Connection, stream: TcpStream, draining: CancellationToken) {
    let metrics = connection.intake.clone();
    metrics.metrics().tcp_connections.inc();
    let end = connection.run(stream, &draining).await;
    metrics.metrics().tcp_connections.dec();
    let peer = connection.peer.as_str();
    match end {
        Ok(End::Closed | End::Draining | End::NobodyTakes) => {}
        Ok(End::TooSlow) => {
            info!(peer, "a syslog sender did not finish its message in time; connection closed");
        }
        Err(error) => debug!(peer, error = %error, "a syslog connection broke"),
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The sender closed it.
    Closed,
    /// A message took too long.
    TooSlow,
    /// The process stops.
    Draining,
    /// The streams have stopped.
    NobodyTakes,
}

struct Connection {
    framer: Framer,
    peer: Peer,
    intake: Intake,
    buffer: Buffer,
    frame_timeout: Duration,
    /// Begins at the first byte that no message has used yet.
    received: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run<S: AsyncRead + Unpin>(
        &mut self,
        mut stream: S,
        draining: &CancellationToken,
    ) -> io::Result<End> {
        // Set while a message has begun and not ended; a sender that is silent between messages may be so for ever.
        let mut due: Option<Instant> = None;
        let mut room = IDLE_BYTES;
        let outcome = loop {
            self.received.reserve(room);
            let free = self.received.capacity() - self.received.len();
            let read = tokio::select! {
                biased;
                () = draining.cancelled() => break Ok(End::Draining),
                read = stream.read_buf(&mut self.received) => read,
                () = until(due) => break Ok(End::TooSlow),
            };
            match read {
                Ok(0) => break Ok(End::Closed),
                // A read that filled the buffer left more behind.
                Ok(bytes) => room = if bytes == free { READ_BYTES } else { IDLE_BYTES },
                // What came before the break is still there to be taken.
                Err(error) => break Err(error),
            }
            let (frames, taken) = self.take_frames().await;
            if !taken {
                return Ok(End::NobodyTakes);
            }
            if !self.framer.is_inside_message(&self.received) {
                due = None;
                if room == IDLE_BYTES {
                    self.received.shrink_to(IDLE_BYTES);
                }
            } else if frames || due.is_none() {
                due = Some(Instant::now() + self.frame_timeout); // a new message has its own time
            }
        };
        if matches!(outcome, Ok(End::Draining)) {
            self.read_last(&mut stream).await;
        }
        let ended = if matches!(outcome, Ok(End::Closed)) { Ended::Orderly } else { Ended::Abruptly };
        if let Some(frame) = self.framer.finish(&self.received, ended) {
            let mut handful = Handful::default();
            handful.add(self.intake.event(&frame, &self.peer));
            self.buffer.put(handful).await;
        }
        outcome
    }

    /// Hands over every whole message. Returns whether there was one, and whether somebody still takes them.
    async fn take_frames(&mut self) -> (bool, bool) {
        let mut handful = Handful::default();
        let (mut used, mut any) = (0, false);
        loop {
            let rest = self.received.get(used..).unwrap_or_default();
            match self.framer.next(rest) {
                Step::Frame { frame, used: taken } => {
                    handful.add(self.intake.event(&frame, &self.peer));
                    used += taken;
                    any = true;
                    if handful.is_full() && !self.buffer.put(std::mem::take(&mut handful)).await {
                        return (any, false);
                    }
                }
                Step::More { used: taken } => {
                    used += taken;
                    break;
                }
            }
        }
        self.received.drain(..used);
        (any, handful.is_empty() || self.buffer.put(handful).await)
    }

    /// Takes what lies in the socket at a stop: the sender believes it delivered.
    async fn read_last<S: AsyncRead + Unpin>(&mut self, stream: &mut S) {
        let until = Instant::now() + LAST_READ;
        loop {
            self.received.reserve(READ_BYTES);
            let read = tokio::time::timeout_at(until, stream.read_buf(&mut self.received)).await;
            if !matches!(read, Ok(Ok(1..))) || !self.take_frames().await.1 {
                return;
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
