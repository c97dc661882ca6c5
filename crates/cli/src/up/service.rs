//! One service process: started, watched, started again when it dies, stopped in order.
//!
//! What is decided here: a service that dies is started again after a second, as systemd would; one that dies for the
//! third time within a minute, or that refuses its settings, ends the whole stack, because what is wrong will not go
//! away by itself. Either way its last words are shown.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const RESTART_PAUSE: Duration = Duration::from_secs(1);
const DEATHS: usize = 3;
const DEATHS_WITHIN: Duration = Duration::from_mins(1);
/// Services finish or return what they hold within their own grace of 20 s and a moment; the rest is margin.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// `EX_CONFIG`, `EX_USAGE`: starting again would say the same.
const HOPELESS: [i32; 2] = [78, 64];
const TAIL_LINES: usize = 8;
const TAIL_BYTES: u64 = 16 * 1024;

/// Ends the service when `mutt up` dies without stopping it: then the pipe to this shell closes.
const WATCHER: &str = "read -r _; kill -s TERM \"$1\"; n=0; while kill -0 \"$1\" && [ $n -lt 300 ]; do sleep 0.1; \
                       n=$((n+1)); done; kill -s KILL \"$1\"";

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// Added to our own environment, and stronger.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) log: PathBuf,
}

/// What happened to a service without being asked for.
#[derive(Debug, Clone)]
pub(crate) struct Death {
    pub(crate) name: &'static str,
    /// `exit status: 1`, `signal: 9 (SIGKILL)`, or why it could not be started.
    pub(crate) how: String,
    /// The end of its log.
    pub(crate) tail: String,
    /// Whether it is not started again.
    pub(crate) is_final: bool,
}

/// A service under watch. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    stop: CancellationToken,
    watch: JoinSet<bool>,
}

impl Service {
    /// Starts it; every death is told to `deaths`.
    pub(crate) fn start(spec: Spec, deaths: mpsc::UnboundedSender<Death>) -> Self {
        let stop = CancellationToken::new();
        let name = spec.name;
        let mut watch = JoinSet::new();
        let stopped = stop.clone();
        watch.spawn(async move { keep_running(&spec, &stopped, &deaths).await });
        Self { name, stop, watch }
    }

    /// Asks it to stop and waits until it has; `false` when it had to be killed.
    pub(crate) async fn stop(mut self) -> bool {
        self.stop.cancel();
        matches!(self.watch.join_next().await, Some(Ok(true)) | None)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

/// Returns whether the process left by itself when asked to stop.
async fn keep_running(spec: &Spec, stop: &CancellationToken, deaths: &mpsc::UnboundedSender<Death>) -> bool {
    let mut recent = VecDeque::new();
    loop {
        let (how, hopeless) = match Process::start(spec) {
            Err(error) => (format!("{error:#}"), true),
            Ok(mut process) => tokio::select! {
                status = process.child.wait() => describe(status),
                () = stop.cancelled() => return process.stop().await,
            },
        };
        let now = Instant::now();
        recent.push_back(now);
        recent.retain(|death| now.duration_since(*death) < DEATHS_WITHIN);
        let is_final = hopeless || recent.len() >= DEATHS;
        let death = Death { name: spec.name, how, tail: tail(&spec.log), is_final };
        // Without a listener the stack is being taken down.
        if deaths.send(death).is_err() || is_final {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART_PAUSE) => {}
            () = stop.cancelled() => return true,
        }
    }
}

fn describe(status: std::io::Result<ExitStatus>) -> (String, bool) {
    match status {
        Ok(status) => (status.to_string(), status.code().is_some_and(|code| HOPELESS.contains(&code))),
        Err(error) => (error.to_string(), false),
    }
}

/// A running process and the shell that outlives us to end it.
struct Process {
    child: Child,
    _watcher: Child,
}

impl Process {
    fn start(spec: &Spec) -> anyhow::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&spec.log);
        let log = log.with_context(|| format!("opening {}", spec.log.display()))?;
        let errors = log.try_clone().context("sharing its log")?;
        let child = Command::new(&spec.program)
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C reaches us alone: we decide the order of stopping.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", spec.program.display()))?;
        let pid = child.id().context("it ended at once")?.to_string();
        let watcher = Command::new("/bin/sh")
            .args(["-c", WATCHER, "mutt-watcher", &pid])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("starting its watcher")?;
        Ok(Self { child, _watcher: watcher })
    }

    async fn stop(mut self) -> bool {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // "No such process" is as good.
            let (Ok(()) | Err(_)) = kill_process(pid, Signal::TERM);
        }
        let left = tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_ok();
        if !left {
            let (Ok(()) | Err(_)) = self.child.kill().await;
        }
        left
    }
}

/// Puts the log of the run before aside, so that the present one begins empty.
pub(crate) fn turn_over(log: &Path) {
    // There may be none yet; a log that cannot be moved is appended to.
    let (Ok(()) | Err(_)) = fs::rename(log, log.with_extension("log.1"));
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
    last.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(folder: &Path, script: &str) -> Spec {
        let program = folder.join("service.sh");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Spec {
            name: "service",
            program,
            environment: vec![("GREETING".into(), "hello".into())],
            log: folder.join("service.log"),
        }
    }

    #[tokio::test]
    async fn a_service_that_refuses_its_settings_is_not_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let (tell, mut deaths) = mpsc::unbounded_channel();
        let service = Service::start(spec(folder.path(), "echo \"$GREETING, bad port\"; exit 78"), tell);
        let death = deaths.recv().await.unwrap();
        assert!(death.is_final);
        assert!(death.how.contains("78"), "{}", death.how);
        assert_eq!(death.tail, "    hello, bad port");
        assert!(service.stop().await);
    }

    #[tokio::test]
    async fn a_crash_is_told_and_the_service_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("[ -f {0} ] && exec sleep 60; touch {0}; exit 1", mark.display());
        let (tell, mut deaths) = mpsc::unbounded_channel();
        let service = Service::start(spec(folder.path(), &script), tell);
        let death = deaths.recv().await.unwrap();
        assert!(!death.is_final);
        assert!(service.stop().await, "a sleeping process stops when asked");
        assert!(deaths.recv().await.is_none(), "a stop is not a death");
    }
}
