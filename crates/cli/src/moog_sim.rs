//! `mutt moog-sim`: a stand-in for Moogsoft that counts what it gets and goes wrong when told to.

mod fault;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use mutt_test_support::moog::{Auth, Chance, Fault, MoogServer, Script, Stats};

use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::{Output, thousands};

const REDRAW: Duration = Duration::from_millis(500);
const STOP_LIMIT: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
A fault is STATUS or WORD, then options: 503x3 is three times 503; 429x5,retry-after=2; 200,delay=3000 answers after
3 s; words are reset, garbage, drip, flood, silent and login-page. Faults are shown in their order, then --chance, then
--always, then normal answers. POST /script changes them while it runs; GET /stats and /alerts say what came.

Examples:
  mutt moog-sim --port 18083 --key secret
  mutt moog-sim --fault 503x20 --fault 401
  mutt moog-sim --always 200,delay=2000 --chance 0.05:500
  curl 'localhost:18083/alerts?limit=5'";

/// Stand in for Moogsoft: take alerts as the webhook and as the cloud's Events API, and show faults.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 18083)]
    port: u16,
    /// Address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// Key that is asked for; without one every sender is welcome.
    #[arg(long, env = "MOOG_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// In which form the key must come.
    #[arg(long, value_enum, default_value = "any", requires = "key")]
    auth: KeyForm,
    /// A fault to show next, once or as often as it says; may be given several times.
    #[arg(long, value_name = "FAULT", value_parser = fault::parse)]
    fault: Vec<Fault>,
    /// A fault for a share of the requests, as `0.1:503`; may be given several times.
    #[arg(long, value_name = "SHARE:FAULT", value_parser = fault::parse_chance)]
    chance: Vec<Chance>,
    /// A fault for every request that has no other.
    #[arg(long, value_name = "FAULT", value_parser = fault::parse)]
    always: Option<Fault>,
    /// Faults from a JSON file, as `POST /script` takes them.
    #[arg(long, conflicts_with_all = ["fault", "chance", "always"])]
    script: Option<PathBuf>,
}

/// Where a sender puts its key.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KeyForm {
    /// Any of the forms below.
    Any,
    /// `Authorization: Bearer KEY`
    Bearer,
    /// `apiKey: KEY`
    Apikey,
    /// `Authorization: Basic`, the key being `user:password`
    Basic,
}

/// Serves until Ctrl-C, then says what came.
///
/// # Errors
/// When the port is taken or the script cannot be read.
pub(crate) async fn run(args: Args, out: Output) -> anyhow::Result<ExitCode> {
    let auth = match (args.key, args.auth) {
        (None, _) => Auth::None,
        (Some(key), KeyForm::Any) => Auth::Any(key),
        (Some(key), KeyForm::Bearer) => Auth::Bearer(key),
        (Some(key), KeyForm::Apikey) => Auth::ApiKey(key),
        (Some(key), KeyForm::Basic) => Auth::Basic(key),
    };
    let script = match &args.script {
        Some(path) => read_script(path)?,
        None => Script { steps: args.fault, chances: args.chance, always: args.always, seed: 0 },
    };
    let address = SocketAddr::new(args.bind, args.port);
    let server = MoogServer::builder().address(address).auth(auth).script(script).start().await;
    let server = server.with_context(|| Exit::unavailable(format!("listening on {address}")))?;
    let mut interrupts = Interrupts::listen()?;
    out.note(&format!(
        "Webhook: {}\nCloud:   {}\nCtrl-C stops it and says what came.",
        server.url(),
        server.cloud_url()
    ));
    watch(&server, &mut interrupts, out).await?;
    let stats = server.stats();
    server.stop(STOP_LIMIT).await;
    out.result(&stats, text)?;
    Ok(ExitCode::SUCCESS)
}

fn read_script(path: &PathBuf) -> anyhow::Result<Script> {
    let text =
        std::fs::read(path).with_context(|| Exit::unavailable(format!("reading {}", path.display())))?;
    serde_json::from_slice(&text).with_context(|| Exit::config(format!("{} is not a script", path.display())))
}

async fn watch(server: &MoogServer, interrupts: &mut Interrupts, out: Output) -> anyhow::Result<()> {
    let bar = if out.is_lively() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{wide_msg}").context("the status line's template")?);
    let mut redraw = tokio::time::interval(REDRAW);
    loop {
        tokio::select! {
            () = interrupts.next() => break,
            _ = redraw.tick() => bar.set_message(text(&server.stats())),
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn text(stats: &Stats) -> String {
    let answers: Vec<String> =
        stats.responses.iter().map(|(status, count)| format!("{} x {status}", thousands(*count))).collect();
    format!(
        "{} requests, {} events taken in ({} different, {} copies) | answers: {}",
        thousands(stats.requests),
        thousands(stats.accepted),
        thousands(stats.unique),
        thousands(stats.duplicates),
        if answers.is_empty() { "none".to_owned() } else { answers.join(", ") }
    )
}
