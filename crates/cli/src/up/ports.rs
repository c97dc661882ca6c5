//! Which ports the stack listens on: the usual ones where they are free, others where they are not.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;

use rand::Rng as _;

/// Ports that are usual for MUTT or, for the servers behind it, out of the way of their system-wide namesakes.
const USUAL: [(&str, u16); 11] = [
    ("HTTP ingest", 8080),
    ("syslog", 5514),
    ("alerter metrics", 8081),
    ("alerter health", 8082),
    ("forwarder metrics", 8083),
    ("forwarder health", 8084),
    ("console", 8090),
    ("Moogsoft stand-in", 18083),
    ("Redis", 16379),
    ("PostgreSQL", 15432),
    ("Vault", 18200),
];

/// All ports of the stack, on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) ingest: u16,
    /// UDP and TCP.
    pub(crate) syslog: u16,
    pub(crate) alerter_metrics: u16,
    pub(crate) alerter_health: u16,
    pub(crate) forwarder_metrics: u16,
    pub(crate) forwarder_health: u16,
    pub(crate) console: u16,
    pub(crate) moog: u16,
    pub(crate) redis: u16,
    pub(crate) postgres: u16,
    pub(crate) vault: u16,
}

impl Ports {
    /// Chooses each port; the second value says in words which ones are not the usual ones, and why.
    ///
    /// `any` takes whatever is free and says nothing. Somebody else may still take a port before the stack does; the
    /// server that wanted it then says so.
    pub(crate) fn choose(any: bool) -> (Self, Vec<String>) {
        let mut taken = HashSet::new();
        let mut notes = Vec::new();
        let chosen = USUAL.map(|(purpose, usual)| {
            let port = if any { pick(None, &taken) } else { pick(Some(usual), &taken) };
            if port != usual && !any {
                notes.push(format!("port {usual} is taken: {purpose} uses {port}"));
            }
            taken.insert(port);
            port
        });
        let [
            ingest,
            syslog,
            alerter_metrics,
            alerter_health,
            forwarder_metrics,
            forwarder_health,
            console,
            moog,
            redis,
            postgres,
            vault,
        ] = chosen;
        let ports = Self {
            ingest,
            syslog,
            alerter_metrics,
            alerter_health,
            forwarder_metrics,
            forwarder_health,
            console,
            moog,
            redis,
            postgres,
            vault,
        };
        (ports, notes)
    }
}

/// Below the range from which the system gives outgoing connections their ports: one of those could take a port that was
/// chosen before the server that it is for comes to bind it.
const OTHERS: Range<u16> = 20_000..32_000;

/// The usual port, else the one 10,000 above, which is easy to remember, else any.
fn pick(usual: Option<u16>, taken: &HashSet<u16>) -> u16 {
    let easy = usual.and_then(|port| port.checked_add(10_000));
    let known = usual.into_iter().chain(easy).find(|port| !taken.contains(port) && is_free(*port));
    known.unwrap_or_else(|| {
        loop {
            let port = rand::rng().random_range(OTHERS);
            if !taken.contains(&port) && is_free(port) {
                return port;
            }
        }
    })
}

/// Free for TCP and for UDP.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let held = holder.local_addr().unwrap().port();
        let port = pick(Some(held), &HashSet::new());
        assert_ne!(port, held);
        let again = pick(Some(port), &HashSet::from([port]));
        assert_ne!(again, port);
    }

    #[test]
    fn chosen_ports_differ() {
        let (ports, notes) = Ports::choose(true);
        assert!(notes.is_empty());
        let all = HashSet::from([
            ports.ingest,
            ports.syslog,
            ports.alerter_metrics,
            ports.alerter_health,
            ports.forwarder_metrics,
            ports.forwarder_health,
            ports.console,
            ports.moog,
            ports.redis,
            ports.postgres,
            ports.vault,
        ]);
        assert_eq!(all.len(), USUAL.len());
    }
}
