//! The process itself: its name among its peers, and how long it waits at start and end.

use std::{net::IpAddr, time::Duration};

use super::Reader;

/// What every service reads, whatever it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// This process among its peers: in logs, and in the names of what it holds in Redis.
    pub pod_name: String,
    /// From the signal to stop until unfinished work is dropped.
    pub shutdown_grace: Duration,
    /// How long a dependency that is away is waited for at start.
    pub start_timeout: Duration,
}

impl ProcessSettings {
    /// Reads the section `process`.
    pub fn read(reader: &mut Reader) -> Self {
        reader.section("process");
        Self {
            pod_name: pod_name(reader),
            shutdown_grace: reader.seconds(
                "SHUTDOWN_GRACE",
                20,
                1..=3600,
                "From the signal to stop until unfinished work is dropped (what was queued stays queued)",
            ),
            start_timeout: start_timeout(reader),
        }
    }
}

/// `POD_NAME`; as often as it is asked for, the same.
pub(super) fn pod_name(reader: &mut Reader) -> String {
    let default = reader.made_up_name().to_owned();
    reader.text(
        "POD_NAME",
        &default,
        "This process among its peers; by default the service and six random digits",
    )
}

/// `START_TIMEOUT`.
pub(super) fn start_timeout(reader: &mut Reader) -> Duration {
    reader.seconds(
        "START_TIMEOUT",
        60,
        1..=86_400,
        "How long a dependency that is away is waited for at start",
    )
}

/// Whether `host` is this machine: a loopback address, its usual name, or the path of a Unix socket.
pub(super) fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a URL leads to this machine.
pub(super) fn is_local_url(url: &str) -> bool {
    url.parse::<::http::Uri>().ok().and_then(|uri| uri.host().map(is_local)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        for host in
            ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "/run/redis/redis.sock"]
        {
            assert!(is_local(host), "{host}");
        }
        for host in ["redis", "10.0.0.1", "localhost.example.com", "::2", ""] {
            assert!(!is_local(host), "{host}");
        }
        assert!(is_local_url("http://127.0.0.1:8200"));
        assert!(!is_local_url("http://vault:8200"));
    }
}
