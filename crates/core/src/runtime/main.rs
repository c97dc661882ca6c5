//! What every service's `main` does, once.

use std::{
    convert::Infallible, error::Error, ffi::OsString, future::Future, io::Write, path::Path,
    process::ExitCode, time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::{
    Lifecycle,
    command::{self, About, Action, CommandLine, Instead},
    exit::Exit,
    probe::{self, ProbeTarget},
    start::exit_for,
};
use crate::{
    settings::{self, Reader, Report, process::ProcessSettings, telemetry::TelemetrySettings},
    telemetry::{self, Identity, report},
};

/// A blocking call that does not come back shall not hold the exit for longer.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// What `main` knows of its service.
#[derive(Debug, Clone, Copy)]
pub struct Service<S> {
    /// The binary's name: `mutt-alerter`.
    pub name: &'static str,
    /// The crate's: `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// What it does, for `--help`.
    pub about: &'static str,
    /// Keys of the settings that `--help` shows.
    pub highlights: &'static [&'static str],
    /// Reads the service's own settings.
    pub read: fn(&mut Reader) -> S,
    /// Where the service with these settings answers `/health/ready`.
    pub health: fn(&S) -> ProbeTarget,
}

/// Runs a service from command line to exit code; all that `main` has to do.
///
/// `run` connects, binds, spawns on the lifecycle and returns, or stays until the drain; either way the process ends when
/// every task has. An error from it is logged with its chain; a [`super::StartError`] in the chain decides the exit code.
///
/// ```no_run
/// use mutt_core::runtime::{Lifecycle, ProbeTarget, Service, run_main};
/// use mutt_core::settings::{Reader, http::HttpSettings};
/// use std::net::SocketAddr;
///
/// struct Settings { listen: SocketAddr }
///
/// fn read(reader: &mut Reader) -> Settings {
///     let http = HttpSettings::read(reader);
///     Settings { listen: http.listener(reader, "SERVER_PORT_INGESTOR", 8080, "Port for events") }
/// }
///
/// async fn start(_settings: Settings, _lifecycle: Lifecycle) -> anyhow::Result<()> { Ok(()) }
///
/// fn main() -> std::process::ExitCode {
///     let service = Service {
///         name: "mutt-ingestor",
///         version: "1.0.0",
///         about: "Takes events in.",
///         highlights: &["SERVER_PORT_INGESTOR", "REDIS_HOST"],
///         read,
///         health: |settings| ProbeTarget { address: settings.listen, tls: false },
///     };
///     run_main(&service, start)
/// }
/// ```
pub fn run_main<S, F, R>(service: &Service<S>, run: R) -> ExitCode
where
    R: FnOnce(S, Lifecycle) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    let process = Process {
        arguments: std::env::args_os().collect(),
        environment: settings::environment().collect(),
        stdout: std::io::stdout(),
        stderr: std::io::stderr(),
    };
    process.run(service, run).into()
}

/// The process as it was started; tests make their own.
struct Process<O, E> {
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    stdout: O,
    stderr: E,
}

impl<O: Write, E: Write> Process<O, E> {
    fn run<S, F, R>(mut self, service: &Service<S>, run: R) -> Exit
    where
        R: FnOnce(S, Lifecycle) -> F,
        F: Future<Output = anyhow::Result<()>>,
    {
        let defaults = defaults_of(service);
        let about = About {
            name: service.name,
            version: service.version,
            text: service.about,
            highlights: service.highlights,
            defaults: &defaults,
        };
        let line = match command::parse(about, self.arguments.drain(..)) {
            Ok(line) => line,
            Err(Instead { text, exit: Exit::Clean }) => return self.say(&text, Exit::Clean),
            Err(Instead { text, exit }) => return self.complain(&text, exit),
        };
        let loaded = match load(service, line.config.as_deref(), self.environment.drain(..)) {
            Ok(loaded) => loaded,
            Err(why) => return self.complain(&format!("{}: {why}\n", service.name), Exit::Config),
        };
        match line.action {
            Action::CheckConfig => {
                let verdict = format!("{}: {}", service.name, loaded.report.verdict());
                self.say(&verdict, Exit::Clean)
            }
            Action::PrintConfig => self.say(&loaded.report.in_force(), Exit::Clean),
            Action::Health => self.health((service.health)(&loaded.own)),
            Action::Run => self.live(service, &line, loaded, run),
        }
    }

    fn health(&mut self, target: ProbeTarget) -> Exit {
        install_tls_provider();
        match probe::ask(target) {
            Ok(answer) if answer.ready => self.say(&format!("{}\n", answer.body), Exit::Clean),
            Ok(answer) => self.complain(&format!("not ready: {}\n", answer.body), Exit::Crash),
            Err(error) => {
                self.complain(&format!("no answer from {}: {error}\n", target.address), Exit::Crash)
            }
        }
    }

    fn live<S, F, R>(&mut self, service: &Service<S>, line: &CommandLine, loaded: Loaded<S>, run: R) -> Exit
    where
        R: FnOnce(S, Lifecycle) -> F,
        F: Future<Output = anyhow::Result<()>>,
    {
        install_tls_provider();
        let identity = Identity {
            service: service.name,
            version: service.version,
            pod_name: loaded.process.pod_name.clone(),
        };
        if let Err(error) = telemetry::init(&loaded.telemetry, identity) {
            self.complain(&format!("{}: logging goes elsewhere: {error}\n", service.name), Exit::Clean);
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(service.name).build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                error!(error = report(&error), "no threads to run on");
                return Exit::Crash;
            }
        };
        info!(
            config = line.config.as_deref().map(|path| path.display().to_string()),
            "starting {} {} as {}", service.name, service.version, loaded.process.pod_name,
        );
        for warning in &loaded.report.warnings {
            warn!(key = warning.key, "{warning}");
        }
        let lifecycle = Lifecycle::new(loaded.process.shutdown_grace);
        let exit = runtime.block_on(live(|| run(loaded.own, lifecycle.clone()), &lifecycle));
        runtime.shutdown_timeout(BLOCKING_GRACE);
        info!(exit_code = exit.code(), "stopped");
        exit
    }

    fn say(&mut self, text: &str, exit: Exit) -> Exit {
        // Where it cannot be said, the exit code still tells.
        let _unsaid = self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush());
        exit
    }

    fn complain(&mut self, text: &str, exit: Exit) -> Exit {
        let _unsaid = self.stderr.write_all(text.as_bytes());
        exit
    }
}

struct Loaded<S> {
    process: ProcessSettings,
    telemetry: TelemetrySettings,
    own: S,
    report: Report,
}

/// # Errors
/// Everything that is wrong, as text.
fn load<S>(
    service: &Service<S>,
    config: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded<S>, String> {
    let reader = Reader::load(config, environment).map_err(|error| match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })?;
    let mut reader = reader.for_service(service.name);
    let process = ProcessSettings::read(&mut reader);
    let telemetry = TelemetrySettings::read(&mut reader);
    let own = (service.read)(&mut reader);
    let report = reader.finish().map_err(|problems| problems.to_string())?;
    Ok(Loaded { process, telemetry, own, report })
}

/// What the service reads when nothing is set; what is then missing does not matter here.
fn defaults_of<S>(service: &Service<S>) -> Report {
    let Ok(reader) = Reader::load(None, std::iter::empty()) else { return Report::default() };
    let mut reader = reader.for_service(service.name);
    ProcessSettings::read(&mut reader);
    TelemetrySettings::read(&mut reader);
    (service.read)(&mut reader);
    Report { entries: reader.entries().to_vec(), warnings: Vec::new() }
}

/// From the start to the end of the last task.
async fn live<F>(run: impl FnOnce() -> F, lifecycle: &Lifecycle) -> Exit
where
    F: Future<Output = anyhow::Result<()>>,
{
    // First of all: until then a SIGHUP would kill.
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            error!(error = report(&error), "signals cannot be received");
            return Exit::Crash;
        }
    };
    let whole_life = async {
        let ran = tokio::select! {
            biased;
            ran = run() => ran,
            // A start that hangs is not waited for longer than a task.
            () = lifecycle.out_of_patience() => Ok(()),
        };
        let exit = match ran {
            Ok(()) => Exit::Clean,
            Err(error) => {
                let exit = exit_for(&error);
                if exit != Exit::Clean {
                    error!(error = report(&*error), exit_code = exit.code(), "cannot go on");
                }
                lifecycle.drain("the service ended");
                exit
            }
        };
        let ended = lifecycle.wait().await;
        if exit == Exit::Clean { ended } else { exit }
    };
    tokio::select! {
        exit = whole_life => exit,
        never = signals.obey(lifecycle) => match never {},
    }
}

/// The signals that a service obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// SIGTERM and SIGINT drain, then abort; SIGHUP reloads.
    async fn obey(mut self, lifecycle: &Lifecycle) -> Infallible {
        // A drain that a failure began is not the second time of asking.
        let mut asked = false;
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.hang_up.recv() => {
                    info!("SIGHUP: reading again what may change while running");
                    lifecycle.reload();
                    continue;
                }
            };
            if asked {
                lifecycle.abort(&format!("a second signal, {name}"));
            } else {
                lifecycle.drain(name);
            }
            asked = true;
        }
    }
}

/// The one TLS implementation for everything; a second call changes nothing.
fn install_tls_provider() {
    let _installed_already = ::rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests;
