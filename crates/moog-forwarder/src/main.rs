//! The `mutt-moog-forwarder` binary.

use std::process::ExitCode;

use mutt_core::runtime::{ProbeTarget, Service, run_main};
use mutt_moog_forwarder::settings::Settings;

fn main() -> ExitCode {
    let service = Service {
        name: mutt_moog_forwarder::SERVICE,
        version: env!("CARGO_PKG_VERSION"),
        about: "Delivers alerts to Moogsoft.",
        highlights: &["REDIS_HOST", "VAULT_ADDR", "MOOG_WEBHOOK_URL", "MOOG_RATE_LIMIT", "HEALTH_PORT_MOOG"],
        read: Settings::read,
        health: |settings| ProbeTarget { address: settings.health_addr, tls: false },
    };
    run_main(&service, mutt_moog_forwarder::start)
}
