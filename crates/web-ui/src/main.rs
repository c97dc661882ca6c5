//! The `mutt-web-ui` binary.

use std::process::ExitCode;

use mutt_core::runtime::{ProbeTarget, Service, run_main};
use mutt_web_ui::{SERVICE, settings::Settings, start};

fn main() -> ExitCode {
    let service = Service {
        name: SERVICE,
        version: env!("CARGO_PKG_VERSION"),
        about: "Shows the pipeline and steers it: API and console.",
        highlights: &["SERVER_PORT_WEBUI", "REDIS_HOST", "DB_HOST", "SECRETS_BACKEND", "PROMETHEUS_URL"],
        read: Settings::read,
        health: |settings| ProbeTarget { address: settings.listen, tls: settings.tls.is_some() },
    };
    run_main(&service, start)
}
