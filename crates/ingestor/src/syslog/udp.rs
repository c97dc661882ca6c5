//! Syslog over UDP (RFC 5426): many datagrams per system call, and no loss that is not counted.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    buffer::{Buffer, Handful},
    framing,
    intake::{Intake, Peer},
    kernel_drops::KernelDrops,
};

/// Room for one datagram, or for as many as the kernel coalesces (`UDP_GRO`): 64 KiB either way.
const SLOT: usize = 65_536;
/// How often the kernel's count of drops is read.
const DROPS_INTERVAL: Duration = Duration::from_secs(1);
/// At a stop, what lies in the socket is still taken, but not for ever from senders that go on: this many handfuls hold
/// more than a receive buffer of the default size.
const LAST_HANDFULS: usize = 200;
/// After an error on a socket that has nothing to do with a sender.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Opens `count` sockets on one address; with more than one the kernel spreads senders over them.
///
/// Fails as [`std::net::UdpSocket::bind`] does. A receive buffer that the kernel does not grant is a warning.
pub(crate) fn bind(address: SocketAddr, count: usize, receive_buffer: usize) -> io::Result<Vec<UdpSocket>> {
    let mut address = address;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if count > 1 {
            socket.set_reuse_port(true)?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(false)?; // `[::]` takes both
        }
        socket.set_nonblocking(true)?;
        grow_receive_buffer(&socket, receive_buffer);
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        address = socket.local_addr()?; // port 0 became a real one for the others to share
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Root may go beyond `net.core.rmem_max`; others get what it allows.
fn grow_receive_buffer(socket: &Socket, wanted: usize) {
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, wanted).is_err()
        && let Err(error) = socket.set_recv_buffer_size(wanted)
    {
        debug!(%error, "the kernel did not take the size of a receive buffer");
    }
    // The kernel doubles what it is asked for, to allow for its own bookkeeping, and reports that.
    let granted = socket.recv_buffer_size().unwrap_or_default() / 2;
    if granted < wanted {
        warn!(
            granted,
            wanted,
            "the kernel gives syslog sockets a receive buffer of {granted} bytes, not {wanted}: bursts may be lost; \
             raise net.core.rmem_max"
        );
    }
}

/// Receives until draining, then takes what has arrived already.
pub(crate) async fn receive(
    socket: UdpSocket,
    intake: Intake,
    buffer: Buffer,
    draining: CancellationToken,
) -> anyhow::Result<()> {
    let state = UdpSocketState::new((&socket).into())?;
    let mut slots = Slots::new();
    let mut peer = Peer::new(IpAddr::from([0, 0, 0, 0]));
    loop {
        tokio::select! {
            biased;
            () = draining.cancelled() => break,
            ready = socket.readable() => ready?,
        }
        match drain(&socket, &state, &mut slots, &intake, &buffer, &mut peer) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                warn!(error = %error, "receiving syslog datagrams failed; trying again");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
    for _ in 0..LAST_HANDFULS {
        if drain(&socket, &state, &mut slots, &intake, &buffer, &mut peer).is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads one handful, or until nothing is there.
fn drain(
    socket: &UdpSocket,
    state: &UdpSocketState,
    slots: &mut Slots,
    intake: &Intake,
    buffer: &Buffer,
    peer: &mut Peer,
) -> io::Result<()> {
    let mut handful = Handful::default();
    let mut outcome = Ok(());
    while outcome.is_ok() && !handful.is_full() {
        outcome = socket.try_io(Interest::READABLE, || slots.receive(state, socket)).map(|count| {
            for (from, bytes) in slots.datagrams(count) {
                take(from, bytes, intake, peer, &mut handful);
            }
        });
    }
    if !handful.is_empty()
        && let Err(dropped) = buffer.try_put(handful)
    {
        intake.metrics().udp_buffer_drops.inc_by(dropped);
    }
    outcome
}

fn take(from: IpAddr, datagram: &[u8], intake: &Intake, peer: &mut Peer, handful: &mut Handful) {
    if !intake.allows(from) {
        return;
    }
    peer.become_if_other(from);
    for frame in framing::datagram(datagram, intake.max_bytes()) {
        handful.add(intake.event(&frame, peer));
    }
}

/// Memory for one batch of datagrams; pages that no datagram reaches are never touched.
struct Slots {
    memory: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
}

impl Slots {
    fn new() -> Self {
        Self { memory: vec![0; SLOT * BATCH_SIZE], meta: [RecvMeta::default(); BATCH_SIZE] }
    }

    fn receive(&mut self, state: &UdpSocketState, socket: &UdpSocket) -> io::Result<usize> {
        let mut slots: Vec<IoSliceMut<'_>> =
            self.memory.chunks_exact_mut(SLOT).map(IoSliceMut::new).collect();
        state.recv(socket.into(), &mut slots, &mut self.meta)
    }

    fn datagrams(&self, count: usize) -> impl Iterator<Item = (IpAddr, &[u8])> {
        self.memory.chunks_exact(SLOT).zip(&self.meta).take(count).flat_map(|(slot, meta)| {
            let received = slot.get(..meta.len).unwrap_or_default();
            // Several of one sender's datagrams may lie in one slot, `stride` bytes each.
            received.chunks(meta.stride.max(1)).map(|datagram| (meta.addr.ip(), datagram))
        })
    }
}

/// Counts what the kernel dropped, until draining.
pub(crate) async fn count_kernel_drops(mut drops: KernelDrops, intake: Intake, draining: CancellationToken) {
    let mut timer = tokio::time::interval(DROPS_INTERVAL);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = draining.cancelled() => {}
        }
        match drops.new_drops() {
            Ok(0) => {}
            Ok(new) => {
                intake.metrics().udp_kernel_drops.inc_by(new);
                warn!(
                    datagrams = new,
                    "the kernel dropped {new} syslog datagrams: they came faster than they were read"
                );
            }
            Err(error) => {
                warn!(error = %error, "kernel drops cannot be counted here");
                return;
            }
        }
        if draining.is_cancelled() {
            return;
        }
    }
}

/// The receive buffer that a socket really has, for the log line at start.
pub(crate) fn receive_buffer_of(socket: &UdpSocket) -> usize {
    SockRef::from(socket).recv_buffer_size().unwrap_or_default() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_share_one_port() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3, 1 << 16).unwrap();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
        assert!(receive_buffer_of(&sockets[0]) >= 1 << 16);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_an_error() {
        let first = bind("127.0.0.1:0".parse().unwrap(), 1, 1 << 16).unwrap();
        assert!(bind(first[0].local_addr().unwrap(), 1, 1 << 16).is_err());
    }
}
