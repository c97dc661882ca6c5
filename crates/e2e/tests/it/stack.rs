//! A stack of its own for a test: `mutt up` in a temporary folder, on free ports.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use mutt_test_support::{eventually, install_tls_provider};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Debug builds on a machine that runs several tests at once take their time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A program of the workspace, beside the folder of this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this test's own path");
    let folder = own.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let program = folder.join(name);
    assert!(program.is_file(), "{} is missing: run `cargo build --workspace --bins`", program.display());
    program
}

/// A folder that the `postgres` account can pass through, which takes over when a test runs as root.
pub(crate) fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("mutt-e2e-").permissions(Permissions::from_mode(0o755));
    builder.tempdir().expect("a temporary folder")
}

/// A running stack; dropping it kills `mutt up`, whose watchers then end the rest.
pub(crate) struct Stack {
    child: Child,
    folder: TempDir,
    about: Value,
    pub(crate) http: reqwest::Client,
    pub(crate) audit: PgPool,
}

impl Stack {
    /// Starts one without demo events.
    pub(crate) async fn start() -> Self {
        Self::start_in(folder(), &[]).await
    }

    /// Starts one on what `folder` holds.
    pub(crate) async fn start_in(folder: TempDir, words: &[&str]) -> Self {
        install_tls_provider();
        let mut command = up(&folder);
        command.args(["--json", "--any-port", "--no-demo"]).args(words);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("mutt up starts");
        let stdout = child.stdout.take().expect("a piped output");
        let mut lines = BufReader::new(stdout).lines();
        let first =
            tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a stack within the limit");
        let first = first.expect("readable output").expect("mutt up describes the stack");
        // Its status lines must be read, or it would wait for a reader one day.
        let mut reader = tokio::task::JoinSet::new();
        reader.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        reader.detach_all();
        let about: Value = serde_json::from_str(&first).expect("a description in JSON");
        let database = about["database_url"].as_str().expect("an address");
        let audit = PgPool::connect_lazy(database).expect("our own address");
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("a client");
        Self { child, folder, about, http, audit }
    }

    /// A text of the description: `ingest_url`, `syslog`, ...
    pub(crate) fn about(&self, key: &str) -> &str {
        self.about[key].as_str().unwrap_or_else(|| panic!("the description has no {key}"))
    }

    /// How long a service took from its start to ready.
    pub(crate) fn ready_ms(&self, service: &str) -> u64 {
        self.about["ready_ms"][service].as_u64().unwrap_or_else(|| panic!("nobody timed {service}"))
    }

    /// Address of a service's metrics.
    pub(crate) fn metrics_url(&self, service: &str) -> String {
        let found = self.about["metrics"].as_array().into_iter().flatten().find(|pair| pair[0] == service);
        found
            .and_then(|pair| pair[1].as_str())
            .unwrap_or_else(|| panic!("no metrics of {service}"))
            .to_owned()
    }

    /// Runs another `mutt` command in the stack's folder.
    pub(crate) async fn mutt(&self, words: &[&str]) -> Output {
        let mut command = Command::new(program("mutt"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.output().await.expect("mutt runs")
    }

    /// Runs another `mutt` command with `--json` and reads its answer.
    pub(crate) async fn mutt_json(&self, words: &[&str]) -> Value {
        let output = self.mutt(&[words, &["--json"]].concat()).await;
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("mutt {words:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// A request to `/ingest` with the right key.
    pub(crate) fn ingest(&self) -> reqwest::RequestBuilder {
        self.http.post(self.about("ingest_url")).header("X-API-KEY", self.about("ingest_api_key"))
    }

    /// What the Moogsoft stand-in took, newest first, at most `limit`.
    pub(crate) async fn alerts(&self, limit: usize) -> Vec<Value> {
        let url = format!("{}/alerts?limit={limit}", self.about("moog_url"));
        let answer: Value =
            self.http.get(url).send().await.expect("the stand-in").json().await.expect("JSON");
        answer["alerts"].as_array().cloned().unwrap_or_default()
    }

    /// The stand-in's counts.
    pub(crate) async fn moog_stats(&self) -> Value {
        let url = format!("{}/stats", self.about("moog_url"));
        self.http.get(url).send().await.expect("the stand-in").json().await.expect("JSON")
    }

    /// Tells the stand-in what to do wrong.
    pub(crate) async fn moog_script(&self, script: &Value) {
        let url = format!("{}/script", self.about("moog_url"));
        let answer = self.http.post(url).json(script).send().await.expect("the stand-in");
        assert!(answer.status().is_success(), "{}", answer.text().await.expect("text"));
    }

    /// How many rows the event audit has.
    pub(crate) async fn audited(&self) -> i64 {
        sqlx::query_scalar("select count(*) from event_audit_log")
            .fetch_one(&self.audit)
            .await
            .expect("PostgreSQL")
    }

    /// Waits until all taken-in events have their outcome and all alerts are delivered; returns the ledger then.
    pub(crate) async fn settled(&self) -> Value {
        eventually("everything to come to rest", PATIENCE, async || {
            let ledger = self.mutt_json(&["ledger"]).await;
            let held = |stage: &Value| {
                ["waiting", "in_flight", "delayed"]
                    .iter()
                    .map(|key| stage[key].as_i64().unwrap_or(1))
                    .sum::<i64>()
            };
            let stages = ledger["stages"].as_array().cloned().unwrap_or_default();
            let working: i64 = stages.iter().take(2).map(held).sum();
            assert!(stages.iter().all(|stage| stage["imbalance"] == 0), "the ledger is off: {ledger}");
            if working == 0 { Ok(ledger) } else { Err(format!("{working} still at work")) }
        })
        .await
    }

    /// One counter of the ledger.
    pub(crate) fn count(ledger: &Value, stage: &str, name: &str) -> i64 {
        let stages = ledger["stages"].as_array().cloned().unwrap_or_default();
        let stage = stages.iter().find(|found| found["stage"] == stage).cloned().unwrap_or_default();
        let counters = ["taken_in", "outcomes"]
            .into_iter()
            .flat_map(|side| stage[side].as_array().cloned().unwrap_or_default());
        counters.filter(|pair| pair[0] == name).filter_map(|pair| pair[1].as_i64()).sum()
    }

    /// Process ids of a service of this stack.
    pub(crate) fn pid_of(&self, service: &str) -> Option<i32> {
        let parent = self.child.id()?;
        let processes = std::fs::read_dir("/proc").ok()?.flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find(|pid| {
            let read =
                |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let stat = read("stat");
            let parent_of = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
            parent_of == Some(parent) && read("cmdline").trim_end_matches('\0').ends_with(service)
        })
    }

    /// Ends a service as a crash would.
    pub(crate) fn kill(&self, service: &str) {
        let pid = self.pid_of(service).unwrap_or_else(|| panic!("{service} does not run"));
        signal(pid, Signal::KILL);
    }

    /// Stops the stack as Ctrl-C does and gives its folder back; the exit code must be 0.
    pub(crate) async fn stop(mut self) -> TempDir {
        let pid = self.child.id().expect("a running stack");
        signal(i32::try_from(pid).expect("a process id"), Signal::INT);
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("a stop in time");
        assert_eq!(status.expect("a status").code(), Some(0), "mutt up ends well");
        self.folder
    }
}

/// `mutt up` in this folder, with no setting from outside.
pub(crate) fn up(folder: &TempDir) -> Command {
    let mut command = Command::new(program("mutt"));
    command.arg("up").current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process id");
    kill_process(pid, signal).expect("a process of ours");
}
