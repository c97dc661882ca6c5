//! Syslog over UDP and TCP: no answer comes back, so all that can be known is that the network took it.

use std::time::Duration;

use anyhow::Context as _;
use mutt_core::domain::clock::{Clock, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::draft::Format;
use super::feed::Feed;
use super::tally::{Fate, Tally};
use crate::exit::Exit;

/// Lines written in one go to a TCP connection.
const CHUNK: usize = 64;
/// How long the receiver may take to read the rest once we have said that no more comes.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// A connection that breaks is made again after this long, and this often in a row.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
const RECONNECT_TRIES: u32 = 20;

/// How lines are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) format: Format,
    pub(crate) facility: u8,
}

/// How the end of a line is marked on a TCP connection (RFC 6587).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Framing {
    /// Each line ends in a line feed.
    Newline,
    /// Each line has its length in front.
    Octets,
}

/// Sends until the feed ends, one datagram per event.
///
/// # Errors
/// When no socket can be made or a receipt cannot be written; a datagram that the system refuses is a failed event.
pub(crate) async fn udp(target: &str, wire: Wire, feed: &Feed, tally: &Tally) -> anyhow::Result<()> {
    let unreachable = || Exit::unavailable(format!("opening a UDP socket to {target}"));
    let peer =
        tokio::net::lookup_host(target).await.with_context(unreachable)?.next().with_context(unreachable)?;
    let local = if peer.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(local).await.with_context(unreachable)?;
    socket.connect(peer).await.with_context(unreachable)?;
    while let Some(events) = feed.take(CHUNK).await {
        for event in events {
            let line = event.draft.to_syslog(wire.format, wire.facility, SystemClock.now());
            let fate = match socket.send(&line).await {
                Ok(bytes) => {
                    tally.add_bytes(bytes);
                    Fate::Sent
                }
                Err(error) => Fate::Failed { reason: error.to_string() },
            };
            tally.record(event.number, &feed.reference(event.number), &fate)?;
        }
    }
    Ok(())
}

/// Sends until the feed ends over one connection, made again when it breaks.
///
/// The lines of a write that broke count as failed: nobody knows how many of them were read.
///
/// # Errors
/// When the receiver cannot be reached at all, does not read the rest in time, or a receipt cannot be written.
pub(crate) async fn tcp(
    target: &str,
    wire: Wire,
    framing: Framing,
    feed: &Feed,
    tally: &Tally,
) -> anyhow::Result<()> {
    // The first refusal is a wrong address more often than a restart: say so at once.
    let mut stream = connect(target, 1).await?;
    while let Some(events) = feed.take(CHUNK).await {
        let mut chunk = Vec::with_capacity(events.len() * 160);
        for event in &events {
            frame(&event.draft.to_syslog(wire.format, wire.facility, SystemClock.now()), framing, &mut chunk);
        }
        let written = tokio::select! {
            written = stream.write_all(&chunk) => written,
            () = feed.stopped().cancelled() => Err(std::io::Error::other("stopped while the receiver was not reading")),
        };
        let fate = match &written {
            Ok(()) => Fate::Sent,
            Err(error) => Fate::Failed { reason: error.to_string() },
        };
        for event in &events {
            tally.record(event.number, &feed.reference(event.number), &fate)?;
        }
        match written {
            Ok(()) => tally.add_bytes(chunk.len()),
            Err(_) if feed.stopped().is_cancelled() => return Ok(()),
            Err(_) => {
                tally.add_retry();
                stream = connect(target, RECONNECT_TRIES).await?;
            }
        }
    }
    finish(stream).await.with_context(|| format!("waiting for {target} to read everything"))
}

async fn connect(target: &str, mut tries: u32) -> anyhow::Result<TcpStream> {
    loop {
        tries -= 1;
        match TcpStream::connect(target).await {
            Ok(stream) => return Ok(stream),
            Err(_) if tries > 0 => tokio::time::sleep(RECONNECT_PAUSE).await,
            Err(error) => {
                return Err(error).with_context(|| Exit::unavailable(format!("connecting to {target}")));
            }
        }
    }
}

/// Says that no more comes and waits until the receiver has read it all and closes, too.
async fn finish(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.shutdown().await?;
    let mut ignored = [0; 1024];
    let read_to_end = async {
        while stream.read(&mut ignored).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    tokio::time::timeout(DRAIN_LIMIT, read_to_end).await.context("it did not close the connection")??;
    Ok(())
}

fn frame(line: &[u8], framing: Framing, into: &mut Vec<u8>) {
    match framing {
        Framing::Octets => {
            into.extend_from_slice(format!("{} ", line.len()).as_bytes());
            into.extend_from_slice(line);
        }
        Framing::Newline => {
            into.extend(line.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }));
            into.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_where_the_receiver_expects() {
        let mut bytes = Vec::new();
        frame(b"a\nb", Framing::Newline, &mut bytes);
        frame(b"c\nd", Framing::Octets, &mut bytes);
        assert_eq!(bytes, b"a b\n3 c\nd");
    }
}
