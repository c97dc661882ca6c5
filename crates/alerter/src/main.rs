//! The `mutt-alerter` binary.

use std::process::ExitCode;

use mutt_alerter::settings::Settings;
use mutt_core::runtime::{ProbeTarget, Service, run_main};

fn main() -> ExitCode {
    let service = Service {
        name: mutt_alerter::SERVICE,
        version: env!("CARGO_PKG_VERSION"),
        about: "Decides by rules who must know, audits every event, queues alerts.",
        highlights: &["REDIS_HOST", "DB_HOST", "VAULT_ADDR", "CACHE_RELOAD_INTERVAL", "HEALTH_PORT_ALERTER"],
        read: Settings::read,
        health: |settings| ProbeTarget { address: settings.health_addr, tls: false },
    };
    run_main(&service, mutt_alerter::start)
}
