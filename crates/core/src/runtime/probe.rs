//! `--health`: asks the service that runs on this machine whether it is ready, with nothing but the standard library.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::http::tls;

/// Longer than the health checks themselves may take.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Enough for any answer of ours; a stranger on the port shall not fill the memory.
const MAX_ANSWER: u64 = 64 * 1024;

/// Where a service answers `/health/ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeTarget {
    /// As it listens; an unspecified address is asked on loopback.
    pub address: SocketAddr,
    /// Whether it speaks TLS there. Its certificate is not checked: it is asked about its health, on this machine.
    pub tls: bool,
}

/// What the service said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) ready: bool,
    pub(super) body: String,
}

/// # Errors
/// Nobody answers there, or nothing that is HTTP.
pub(super) fn ask(target: ProbeTarget) -> io::Result<Answer> {
    let address = reachable(target.address);
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    if target.tls {
        let mut connection = tls::unchecked_client(address.ip()).map_err(io::Error::other)?;
        converse(&mut ::rustls::Stream::new(&mut connection, &mut stream), address)
    } else {
        converse(&mut stream, address)
    }
}

fn converse(stream: &mut (impl Read + Write), address: SocketAddr) -> io::Result<Answer> {
    // One piece: formatting straight into the socket would send a packet per part.
    let question = format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(MAX_ANSWER).read_to_end(&mut answer) {
        // A TLS peer that closes without saying so has still answered.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some(status) if head.starts_with("HTTP/1.") => {
            Ok(Answer { ready: status == "200", body: body.trim().to_owned() })
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "what answers there does not speak HTTP")),
    }
}

fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()), "127.0.0.1:80".parse().unwrap());
        assert_eq!(reachable("[::]:80".parse().unwrap()), "[::1]:80".parse().unwrap());
        assert_eq!(reachable("10.1.2.3:80".parse().unwrap()), "10.1.2.3:80".parse().unwrap());
    }

    #[test]
    fn only_status_200_is_ready_and_only_http_is_an_answer() {
        let ask = |answer: &[u8]| {
            let mut stream = io::Cursor::new(Vec::new());
            let mut both = Both { answer: io::Cursor::new(answer.to_vec()), question: &mut stream };
            converse(&mut both, "127.0.0.1:80".parse().unwrap())
        };
        let ready = ask(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}\n").unwrap();
        assert!(ready.ready && ready.body == "{}");
        assert!(!ask(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap().ready);
        assert!(ask(b"220 smtp 200\r\n").is_err());
        assert!(ask(b"").is_err());
    }

    struct Both<'a> {
        answer: io::Cursor<Vec<u8>>,
        question: &'a mut io::Cursor<Vec<u8>>,
    }

    impl Read for Both<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.answer.read(buffer)
        }
    }

    impl Write for Both<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.question.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
