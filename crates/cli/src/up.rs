//! `mutt up`: a whole private MUTT on this machine, on loopback, until Ctrl-C.
//!
//! Order matters twice. Starting: servers, then schema and seed data, then services, then the demo. Stopping: the
//! ingestor first, so that nothing new is accepted, then each service behind it, then what they stand on. All data
//! stays in the folder, and the next `mutt up` goes on with it.

mod demo;
mod environment;
mod keys;
mod ports;
mod ready;
mod servers;
mod service;
mod status;
mod summary;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use mutt_core::db;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::environment::SecretsFrom;
use self::keys::Keys;
use self::ports::Ports;
use self::servers::{DATABASE, Servers, log_file};
use self::service::{Death, Service, Spec};
use self::status::Status;
use crate::connection;
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::Output;
use crate::stack::{FOLDER, FolderLock, Stack};

/// In the order in which they stop.
const SERVICES: [&str; 4] = ["mutt-ingestor", "mutt-alerter", "mutt-moog-forwarder", "mutt-web-ui"];

const EXAMPLES: &str = "\
Everything runs on loopback with its data, logs and generated keys in .mutt/. A service that dies is started again; one
that dies three times within a minute ends the stack. Settings in your environment (LOG_LEVEL=debug, ...) reach the
services, but for addresses and secrets, which are the stack's own.

Examples:
  mutt up
  mutt up --vault                  secrets from a private Vault-compatible server instead of a file
  mutt up --dir /srv/mutt --no-demo
  LOG_LEVEL=DEBUG mutt up";

/// Run a whole private MUTT on this machine until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder for data, logs and keys; it can be used again, and removed to begin anew.
    #[arg(long, value_name = "FOLDER", default_value = FOLDER)]
    dir: PathBuf,
    /// Keep the secrets in a private OpenBao, the Vault-compatible server, as in production.
    #[arg(long)]
    vault: bool,
    /// Send no demo events.
    #[arg(long)]
    no_demo: bool,
    /// Listen on any free ports instead of the usual ones.
    #[arg(long)]
    any_port: bool,
}

/// Starts everything, watches it, and stops it on Ctrl-C or SIGTERM.
///
/// # Errors
/// When another `mutt up` has the folder, a server or service does not start, or a service cannot be kept running.
pub(crate) async fn run(args: Args, out: Output) -> anyhow::Result<ExitCode> {
    let folder = prepare(&args.dir)?;
    let Some(_lock) = FolderLock::take(&folder)? else { bail!(already_running(&folder)) };
    let programs = find_programs()?;
    let mut interrupts = Interrupts::listen()?;
    let begun = tokio::select! {
        begun = start(&args, &folder, &programs, out) => begun?,
        () = interrupts.next() => {
            Stack::forget(&folder);
            out.note("Stopped before everything ran.");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let Begun { mut servers, services, mut deaths, stack } = begun;
    let called = std::env::args().next().unwrap_or_else(|| "mutt".to_owned());
    out.result(&stack, |stack| summary::text(stack, &folder, &called))?;
    let mut status = Status::new(&stack.redis_url, out).await?;
    let ended = watch(&mut servers, &mut deaths, &mut status, &mut interrupts).await;
    status.clear();
    Stack::forget(&folder);
    tokio::select! {
        () = stop(servers, services, out) => {}
        () = interrupts.next() => out.note("Stopped at once; what was in hand is taken up again by the next start."),
    }
    ended.map(|()| ExitCode::SUCCESS)
}

/// The folder as an absolute path, with its folder for logs.
fn prepare(dir: &Path) -> anyhow::Result<PathBuf> {
    let unusable = || Exit::unavailable(format!("{} cannot be used", dir.display()));
    fs::create_dir_all(dir.join("logs")).with_context(unusable)?;
    dir.canonicalize().with_context(unusable)
}

fn already_running(folder: &Path) -> Exit {
    let place = folder.display();
    Exit::unavailable(match Stack::read(folder) {
        None => format!("another `mutt up` is just starting or stopping in {place}"),
        Some(Stack { pid, web_url, ingest_url, syslog, .. }) => format!(
            "MUTT already runs in {place} (process {pid}):\n  console {web_url}\n  ingest  {ingest_url}\n  syslog  \
             {syslog}\nStop it with Ctrl-C there or `kill {pid}`, or give this one a folder of its own with --dir"
        ),
    })
}

/// The services' programs lie beside this one.
fn find_programs() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let own = std::env::current_exe().context("finding this program's folder")?;
    let found: Vec<_> = SERVICES.map(|name| (name, own.with_file_name(name))).into();
    let missing: Vec<&str> =
        found.iter().filter(|(_, path)| !path.is_file()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let folder = own.parent().unwrap_or(&own).display();
        let missing = missing.join(", ");
        bail!(Exit::unavailable(format!(
            "{missing} not found in {folder}: build all with `cargo build --workspace --bins`"
        )));
    }
    Ok(found)
}

/// A stack that runs.
struct Begun {
    servers: Servers,
    services: Vec<Service>,
    deaths: mpsc::UnboundedReceiver<Death>,
    stack: Stack,
}

async fn start(
    args: &Args,
    folder: &Path,
    programs: &[(&'static str, PathBuf)],
    out: Output,
) -> anyhow::Result<Begun> {
    let began = Instant::now();
    let step = |what: &str| out.note(&format!("  {:>6.2} s  {what}", began.elapsed().as_secs_f64()));
    out.note(&format!("Starting MUTT in {}", folder.display()));
    let keys = Keys::open(folder)?;
    let (ports, notes) = Ports::choose(args.any_port);
    for note in &notes {
        step(note);
    }

    let servers = Servers::start(folder, &ports, &keys, args.vault).await?;
    let vault = if args.vault { ", OpenBao" } else { "" };
    step(&format!("Redis, PostgreSQL{vault} and the Moogsoft stand-in run"));
    let database = connection::connect_database(&servers.database_url()).await?;
    db::migrate(&database).await.context("bringing the schema up to date")?;
    db::seed::demo(&database).await.context("adding the demo rules")?;
    database.close().await;
    step("the database has its schema and the demo rules");

    let (tell, mut deaths) = mpsc::unbounded_channel();
    let settings = settings(folder, &ports, &servers);
    let services: Vec<Service> = programs
        .iter()
        .map(|(name, program)| {
            let log = log_file(&folder.join("logs"), name);
            service::turn_over(&log);
            let spec = Spec { name, program: program.clone(), environment: settings.clone(), log };
            Service::start(spec, tell.clone())
        })
        .collect();
    let health = [ports.ingest, ports.alerter_health, ports.forwarder_health, ports.console];
    let addresses: Vec<_> = SERVICES
        .into_iter()
        .zip(health.map(|port| format!("http://127.0.0.1:{port}/health/ready")))
        .collect();
    let ready_ms = ready::wait(&addresses, &mut deaths, |name, after| {
        step(&format!("{name} is ready ({} ms)", after.as_millis()));
    })
    .await?;

    let stack = describe(&ports, &keys, &servers, ready_ms);
    stack.write(folder)?;
    if !args.no_demo {
        let events = demo::send(&stack).await.context("sending the demo events")?;
        step(&format!("{events} demo events sent"));
    }
    Ok(Begun { servers, services, deaths, stack })
}

fn settings(folder: &Path, ports: &Ports, servers: &Servers) -> Vec<(String, String)> {
    let file = Keys::path(folder);
    let secrets = match servers.vault() {
        None => SecretsFrom::File(&file),
        Some((address, vault)) => SecretsFrom::Vault {
            address,
            role_id: vault.role_id.clone(),
            secret_id_file: &vault.secret_id_file,
        },
    };
    environment::settings(ports, DATABASE, &servers.webhook_url(), &secrets)
}

fn describe(ports: &Ports, keys: &Keys, servers: &Servers, ready_ms: BTreeMap<String, u64>) -> Stack {
    let local = |port: u16| format!("127.0.0.1:{port}");
    let metrics = |name: &str, port: u16| (name.to_owned(), format!("http://{}/metrics", local(port)));
    Stack {
        pid: std::process::id(),
        ingest_url: format!("http://{}/ingest", local(ports.ingest)),
        ingest_api_key: keys.get("INGEST_API_KEY"),
        syslog: local(ports.syslog),
        web_url: format!("http://{}", local(ports.console)),
        web_api_key: keys.get("WEBUI_API_KEY"),
        moog_url: servers.moog_url(),
        redis_url: servers.redis_url(keys),
        database_url: servers.database_url(),
        vault_url: servers.vault().map(|(address, _)| address),
        ready_ms,
        metrics: vec![
            metrics("ingestor", ports.ingest),
            metrics("alerter", ports.alerter_metrics),
            metrics("forwarder", ports.forwarder_metrics),
            metrics("console", ports.console),
        ],
    }
}

/// Shows the status until the user wants to stop (`Ok`) or something cannot be kept running.
async fn watch(
    servers: &mut Servers,
    deaths: &mut mpsc::UnboundedReceiver<Death>,
    status: &mut Status,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(status.period());
    loop {
        tokio::select! {
            () = interrupts.next() => return Ok(()),
            Some(death) = deaths.recv() => {
                if death.is_final {
                    bail!("{}", ready::told(&death));
                }
                status.note(&ready::told(&death));
            }
            _ = tick.tick() => {
                for words in servers.revive().await? {
                    status.note(&words);
                }
                status.show().await?;
            }
        }
    }
}

async fn stop(servers: Servers, services: Vec<Service>, out: Output) {
    out.note("Stopping (Ctrl-C again to stop at once)");
    for service in services {
        let name = service.name();
        let how = if service.stop().await { "stopped" } else { "did not stop in time and was killed" };
        out.note(&format!("  {name} {how}"));
    }
    servers.stop(|name| out.note(&format!("  {name} stopped"))).await;
}
