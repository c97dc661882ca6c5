//! Connections on which an answer can be replaced by a reset or by bytes that are no HTTP.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

const PLAIN: u8 = 0;
const RESET: u8 = 1;
const GARBAGE: u8 = 2;

/// What a sender reads instead of an answer.
const NOISE: &[u8] = b"\x16\x03\x01\x00\x00 this is not HTTP \xff\xfe\r\n\r\n";

/// What becomes of the next thing written to a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<AtomicU8>);

impl Fate {
    pub(super) fn reset(&self) {
        self.0.store(RESET, Ordering::Relaxed);
    }

    pub(super) fn garbage(&self) {
        self.0.store(GARBAGE, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, Lines>> for Fate {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().fate.clone()
    }
}

/// Accepts connections whose fate a handler can decide.
#[derive(Debug)]
pub(super) struct Lines(pub(super) TcpListener);

impl Listener for Lines {
    type Io = Line;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Line, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Only speed is lost without it.
        let _result = stream.set_nodelay(true);
        (Line { stream, fate: Fate::default() }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    fate: Fate,
}

impl Line {
    /// Meets its fate, if it has one: writes what it must and fails, so that the connection is closed.
    fn meet_fate(&self) -> Option<io::Error> {
        match self.fate.0.load(Ordering::Relaxed) {
            PLAIN => return None,
            // Closing with a zero linger sends a reset.
            RESET => self.stream.set_zero_linger().err(),
            // Fits into the socket's buffer.
            _ => self.stream.try_write(NOISE).err(),
        };
        Some(io::ErrorKind::ConnectionAborted.into())
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.meet_fate() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.meet_fate() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
