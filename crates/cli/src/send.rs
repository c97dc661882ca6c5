//! `mutt send`: feeds MUTT with events from a file or made up, as syslog or over HTTP.

mod draft;
mod feed;
mod file;
mod generate;
mod http;
mod syslog;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::draft::Format;
use self::feed::{Changes, Feed, Source};
use self::generate::Generator;
use self::http::{Body, Endpoint};
use self::syslog::{Framing, Wire};
use self::tally::Tally;
use crate::exit::Exit;
use crate::output::Output;
use crate::stack::Stack;

/// UDP loses what is not read in time, so it is not sent as fast as possible unless that is asked for.
const UDP_RATE: f64 = 1000.0;
const DEFAULT_COUNT: u64 = 1000;
const SYSLOG_TARGET: &str = "127.0.0.1:5514";
const INGEST_URL: &str = "http://127.0.0.1:8080/ingest";
const PROGRESS_PERIOD: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  mutt send udp                                     1,000 made-up lines, 1,000 a second, to the MUTT that runs here
  mutt send tcp --count 100000 --connections 4      as fast as it goes
  mutt send udp events.json --to 10.0.0.5:5514      a file, once: JSON array, JSON lines or plain text
  mutt send http --batch 1 --count 10               one object per request
  mutt send http --rate 500 --receipts ids.ndjson   keeps the id of each accepted event
  zcat old.log.gz | mutt send tcp - --tag           a reference in each text, to find it again";

/// Send events: made up, or from a file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    via: Via,
}

#[derive(Debug, Subcommand)]
enum Via {
    /// Syslog over UDP, one datagram per event.
    Udp {
        #[command(flatten)]
        line: LineArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Syslog over TCP.
    Tcp {
        #[command(flatten)]
        line: LineArgs,
        /// How the end of a line is marked.
        #[arg(long, value_enum, default_value = "newline")]
        framing: Framing,
        #[command(flatten)]
        common: Common,
    },
    /// `POST /ingest`.
    Http {
        /// Ingest address [default: of the MUTT that runs here, else `/ingest` on 127.0.0.1:8080].
        #[arg(long)]
        url: Option<String>,
        /// Ingest key [default: of the MUTT that runs here].
        #[arg(long, env = "INGEST_API_KEY", hide_env_values = true)]
        api_key: Option<String>,
        /// Events per request; 1 sends bare objects.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        batch: u32,
        /// How several events share a request.
        #[arg(long, value_enum, default_value = "ndjson")]
        body: Body,
        /// How long an event may be tried again while MUTT says "later", in seconds.
        #[arg(long, default_value_t = 60)]
        retry_for: u64,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct LineArgs {
    /// Receiver as host:port [default: of the MUTT that runs here, else 127.0.0.1:5514].
    #[arg(long)]
    to: Option<String>,
    /// How lines are written.
    #[arg(long, value_enum, default_value = "rfc5424")]
    format: Format,
    /// Syslog facility, 0 to 23; 16 is local0.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(0..=23))]
    facility: u8,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// File to send, `-` for standard input; without one, events are made up.
    file: Option<PathBuf>,
    /// How many events [default: the file once, or 1000 made-up ones].
    #[arg(long, short = 'n')]
    count: Option<u64>,
    /// Events per second over all connections; 0 is as fast as it goes [default: 1000 for UDP, else 0].
    #[arg(long, short = 'r')]
    rate: Option<f64>,
    /// How many connections (or UDP sockets) send at once.
    #[arg(long, short = 'c', default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Hosts of each kind that made-up events come from.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    hosts: u32,
    /// Chooses the series of made-up events; the same seed makes the same events.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Add ` ref=RUN/NUMBER` to each text.
    #[arg(long)]
    tag: bool,
    /// Give each event the present time instead of the file's.
    #[arg(long)]
    restamp: bool,
    /// Write a line of JSON per event to this file: number, ref, status, id or reason.
    #[arg(long)]
    receipts: Option<PathBuf>,
}

/// A connection's work, told apart by transport.
#[derive(Debug, Clone)]
enum Route {
    Udp { target: String, wire: Wire },
    Tcp { target: String, wire: Wire, framing: Framing },
    Http { client: reqwest::Client, endpoint: Endpoint },
}

impl Route {
    fn target(&self) -> String {
        match self {
            Self::Udp { target, .. } => format!("{target} (UDP)"),
            Self::Tcp { target, .. } => format!("{target} (TCP)"),
            Self::Http { endpoint, .. } => endpoint.url.clone(),
        }
    }

    async fn send(&self, feed: &Feed, tally: &Tally) -> anyhow::Result<()> {
        match self {
            Self::Udp { target, wire } => syslog::udp(target, *wire, feed, tally).await,
            Self::Tcp { target, wire, framing } => syslog::tcp(target, *wire, *framing, feed, tally).await,
            Self::Http { client, endpoint } => http::send(client, endpoint, feed, tally).await,
        }
    }
}

/// Sends, shows how far it is, and says what became of it. Exit code 1 when an event was refused or is in doubt.
///
/// # Errors
/// When the file cannot be read or the receiver cannot be reached at all.
pub(crate) async fn run(args: Args, out: Output) -> anyhow::Result<ExitCode> {
    let (route, common) = route(args.via)?;
    let feed = Arc::new(feed(&common, matches!(route, Route::Udp { .. }))?);
    let tally = Arc::new(Tally::new(common.receipts.as_deref())?);
    let began = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..common.connections {
        let (route, feed, tally) = (route.clone(), Arc::clone(&feed), Arc::clone(&tally));
        connections.spawn(async move { route.send(&feed, &tally).await });
    }
    watch(&mut connections, &feed, &tally, out).await?;
    let report = tally.report(route.target(), feed.run(), began.elapsed())?;
    out.result(&report, tally::Report::text)?;
    Ok(if report.is_complete(feed.total()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn route(via: Via) -> anyhow::Result<(Route, Common)> {
    let stack = Stack::running_here();
    let target = |line: &LineArgs| {
        let here = stack.as_ref().map(|stack| stack.syslog.clone());
        line.to.clone().or(here).unwrap_or_else(|| SYSLOG_TARGET.to_owned())
    };
    Ok(match via {
        Via::Udp { line, common } => {
            let wire = Wire { format: line.format, facility: line.facility };
            (Route::Udp { target: target(&line), wire }, common)
        }
        Via::Tcp { line, framing, common } => {
            let wire = Wire { format: line.format, facility: line.facility };
            (Route::Tcp { target: target(&line), wire, framing }, common)
        }
        Via::Http { url, api_key, batch, body, retry_for, common } => {
            let here = stack.as_ref().map(|stack| stack.ingest_url.clone());
            let key_here = stack.as_ref().map(|stack| stack.ingest_api_key.clone());
            let endpoint = Endpoint {
                url: url.or(here).unwrap_or_else(|| INGEST_URL.to_owned()),
                api_key: api_key
                    .or(key_here)
                    .context(Exit::usage("no ingest key: give --api-key or set INGEST_API_KEY"))?,
                batch: usize::try_from(batch).unwrap_or(1),
                body,
                retry_for: Duration::from_secs(retry_for),
            };
            let client = http::client(usize::from(common.connections))?;
            (Route::Http { client, endpoint }, common)
        }
    })
}

fn feed(common: &Common, over_udp: bool) -> anyhow::Result<Feed> {
    let (source, once) = match &common.file {
        Some(path) => {
            let drafts = file::read(path)?;
            let once = u64::try_from(drafts.len()).unwrap_or(u64::MAX);
            (Source::File(drafts), once)
        }
        None => (Source::Generator(Generator { seed: common.seed, hosts: common.hosts }), DEFAULT_COUNT),
    };
    let rate = common.rate.unwrap_or(if over_udp { UDP_RATE } else { 0.0 });
    if !rate.is_finite() || rate < 0.0 {
        anyhow::bail!(Exit::usage("--rate must be 0 or more events per second"));
    }
    let changes = Changes { mark: common.tag, restamp: common.restamp };
    // Eight random digits: enough to tell runs apart within the day that MUTT remembers idempotency keys.
    let run = format!("{:08x}", rand::random::<u32>());
    let rate = (rate > 0.0).then_some(rate);
    Ok(Feed::new(source, changes, common.count.unwrap_or(once), rate, run, CancellationToken::new()))
}

/// Waits for all connections; shows progress; Ctrl-C ends the feed, and what is under way is finished and counted.
async fn watch(
    connections: &mut JoinSet<anyhow::Result<()>>,
    feed: &Feed,
    tally: &Tally,
    out: Output,
) -> anyhow::Result<()> {
    let bar = if out.is_lively() { ProgressBar::new(feed.total()) } else { ProgressBar::hidden() };
    let style = "{bar:32} {human_pos}/{human_len}  {per_sec}  {elapsed} of {duration}";
    bar.set_style(ProgressStyle::with_template(style).context("the progress bar's template")?);
    let mut tick = tokio::time::interval(PROGRESS_PERIOD);
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut interrupted = false;
    let mut trouble = None;
    loop {
        tokio::select! {
            ended = connections.join_next() => match ended {
                None => break,
                Some(result) => if let Err(error) = result.context("a connection's task died").and_then(|r| r) {
                    feed.stopped().cancel();
                    trouble = trouble.or(Some(error));
                },
            },
            _ = tick.tick() => bar.set_position(tally.done()),
            _ = &mut interrupt, if !interrupted => {
                interrupted = true;
                feed.stopped().cancel();
            }
        }
    }
    bar.finish_and_clear();
    match trouble {
        // What was sent before is still worth a report; only a run that never began is an error alone.
        Some(error) if tally.done() == 0 => Err(error),
        Some(error) => {
            out.note(&format!("mutt: {error:#}"));
            Ok(())
        }
        None => Ok(()),
    }
}
