//! Datagrams that the kernel dropped before anybody could read them, as it counts them itself.

use std::{fs, io, os::fd::AsRawFd};

/// The sockets whose drops are watched.
#[derive(Debug)]
pub(crate) struct KernelDrops {
    inodes: Vec<String>,
    seen: u64,
}

impl KernelDrops {
    /// Watches these sockets. Where `/proc` does not tell, the count stays 0.
    pub(crate) fn of<'a, S: AsRawFd + 'a>(sockets: impl IntoIterator<Item = &'a S>) -> Self {
        let inode = |socket: &S| {
            let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        };
        Self { inodes: sockets.into_iter().filter_map(inode).collect(), seen: 0 }
    }

    /// How many were dropped since the last call.
    ///
    /// # Errors
    /// When neither of the kernel's tables can be read.
    pub(crate) fn new_drops(&mut self) -> io::Result<u64> {
        let v4 = fs::read_to_string("/proc/self/net/udp");
        let v6 = fs::read_to_string("/proc/self/net/udp6");
        if let (Err(error), Err(_)) = (&v4, &v6) {
            return Err(io::Error::new(error.kind(), "reading the kernel's table of UDP sockets"));
        }
        let total = [v4, v6].iter().flatten().map(|table| total(table, &self.inodes)).sum();
        let new = u64::saturating_sub(total, self.seen);
        self.seen = total;
        Ok(new)
    }
}

/// Sums the last column of the lines of these sockets (`Documentation/networking/proc_net_tcp.rst` has the columns).
fn total(table: &str, inodes: &[String]) -> u64 {
    let drops = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let inode = columns.nth(9)?;
        if !inodes.iter().any(|known| known == inode) {
            return None;
        }
        columns.nth(2)?.parse::<u64>().ok()
    };
    table.lines().filter_map(drops).sum()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  303: 0100007F:14B6 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 18612 2 00000000deadbeef 7
  304: 0100007F:14B7 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 18613 2 00000000deadbeef 9
";

    #[test]
    fn only_our_own_sockets_count() {
        assert_eq!(total(TABLE, &["18612".to_owned()]), 7);
        assert_eq!(total(TABLE, &["18612".to_owned(), "18613".to_owned()]), 16);
        assert_eq!(total(TABLE, &["1861".to_owned()]), 0);
    }

    #[test]
    fn drops_of_a_real_socket_are_counted_once() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&receiver).set_recv_buffer_size(1).unwrap();
        let mut drops = KernelDrops::of([&receiver]);
        assert_eq!(drops.inodes.len(), 1);
        assert_eq!(drops.new_drops().unwrap(), 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(&[0; 1000], receiver.local_addr().unwrap()).unwrap();
        }
        assert!(drops.new_drops().unwrap() > 50);
        assert_eq!(drops.new_drops().unwrap(), 0);
    }
}
