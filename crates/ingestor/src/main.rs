//! The `mutt-ingestor` binary.

use std::process::ExitCode;

use mutt_core::runtime::{ProbeTarget, Service, run_main};
use mutt_ingestor::{SERVICE, settings::Settings, start};

fn main() -> ExitCode {
    let service = Service {
        name: SERVICE,
        version: env!("CARGO_PKG_VERSION"),
        about: "Takes events by HTTP and syslog and puts them on the ingest queue.",
        highlights: &[
            "SERVER_PORT_INGESTOR",
            "SYSLOG_UDP_BIND",
            "SYSLOG_TCP_BIND",
            "REDIS_HOST",
            "SECRETS_BACKEND",
            "MAX_INGEST_QUEUE_SIZE",
        ],
        read: Settings::read,
        health: |settings| ProbeTarget { address: settings.listen, tls: false },
    };
    run_main(&service, start)
}
