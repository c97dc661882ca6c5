//! A child process that cannot outlive us.
//!
//! Three nets, because `unsafe` (and with it a death signal from the kernel) is not used here:
//! 1. dropping a [`ServerProcess`] stops the server and waits until it is gone;
//! 2. a small shell watches a pipe whose other end only this process holds: when we end in any way, SIGKILL included,
//!    the pipe closes and the watcher stops the server and removes its temporary directory;
//! 3. `server.pid` in the data directory names server and owner, so that the next start stops an orphan whose watcher
//!    was killed too, and refuses a directory that a living owner still uses.
//!
//! Children get their own process group: Ctrl-C in the terminal reaches us, and we decide the order of stopping.

mod data_dir;
mod pid_file;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use self::pid_file::{describe, release_from_previous};
use crate::ServerError;

pub(crate) use self::data_dir::DataDir;

/// Stops a server when standard input closes: asked first, killed after 5 s; then removes its temporary directory.
const WATCHER: &str = r#"read -r _
kill -s "$2" "$1" && kill -s CONT "$1"
n=0; while kill -0 "$1" && [ "$n" -lt 50 ]; do sleep 0.1; n=$((n+1)); done
kill -s KILL -- "-$1"
[ -z "$3" ] || rm -rf -- "$3""#;

/// How long a server that was asked to stop may take before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// Returns a loopback TCP port that nobody listens on at this moment.
///
/// Somebody else may take it before the caller binds it; servers here choose again when that happens.
///
/// # Panics
/// When the machine has no free loopback port.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// What to start and how to know and stop it.
pub(crate) struct Launch<'a> {
    pub(crate) server: &'static str,
    pub(crate) command: Command,
    pub(crate) log_file: &'a Path,
    /// Directory that gets `server.pid`.
    pub(crate) data_dir: &'a Path,
    /// Removed by the watcher when this process dies without cleaning up.
    pub(crate) temporary: Option<&'a Path>,
    /// Asks for an orderly stop.
    pub(crate) stop: Signal,
    /// Used on drop, when nobody waits for an orderly stop.
    pub(crate) abandon: Signal,
}

/// A running server process; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    server: &'static str,
    child: Child,
    watcher: Option<Child>,
    log_file: PathBuf,
    /// Where this run's part of the log begins.
    log_start: u64,
    pid_file: PathBuf,
    stop: Signal,
    abandon: Signal,
}

impl ServerProcess {
    /// Starts the process; it is not ready yet, but already guarded.
    pub(crate) fn spawn(launch: Launch<'_>) -> Result<Self, ServerError> {
        let Launch { server, mut command, log_file, data_dir, temporary, stop, abandon } = launch;
        let pid_file = data_dir.join("server.pid");
        release_from_previous(server, data_dir, &pid_file)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_file)
            .map_err(ServerError::io(server, format!("opening log {}", log_file.display())))?;
        let log_start = log.metadata().map_or(0, |about| about.len());
        let errors = log.try_clone().map_err(ServerError::io(server, "sharing the log"))?;
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(ServerError::io(server, format!("starting {}", program.display())))?;
        let mut process = Self {
            server,
            child,
            watcher: None,
            log_file: log_file.to_owned(),
            log_start,
            pid_file,
            stop,
            abandon,
        };
        process.watcher = Some(process.start_watcher(temporary)?);
        process.write_pid_file()?;
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the log of this run contains `line`.
    pub(crate) async fn wait_for_log(&mut self, line: &str, limit: Duration) -> Result<(), ServerError> {
        let started = Instant::now();
        loop {
            if self.log().contains(line) {
                return Ok(());
            }
            self.check_alive()?;
            if started.elapsed() > limit {
                return Err(self.not_ready(limit));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Fails with the end of the log when the process has ended.
    pub(crate) fn check_alive(&mut self) -> Result<(), ServerError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => Err(ServerError::Exited { server: self.server, log: tail(&self.log()) }),
        }
    }

    pub(crate) fn not_ready(&self, waited: Duration) -> ServerError {
        ServerError::NotReady { server: self.server, waited, log: tail(&self.log()) }
    }

    /// What the server wrote since it was started.
    pub(crate) fn log(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.log_file).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.log_start))?;
            file.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(no log: {error})"),
        }
    }

    /// Sends a signal; a process that has already ended is not an error.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = as_pid(self.child.id()) {
            ignore_gone(rustix::process::kill_process(pid, signal));
        }
    }

    /// Asks the server to stop and waits; kills it when it takes longer than 10 s.
    pub(crate) async fn stop(mut self) {
        self.signal(self.stop);
        self.signal(Signal::CONT);
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && started.elapsed() < STOP_GRACE {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends the server at once, as a crash would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.end_watcher();
        if let Some(pid) = as_pid(self.child.id()) {
            ignore_gone(rustix::process::kill_process_group(pid, Signal::KILL));
        }
        drop(self.child.wait());
        drop(fs::remove_file(&self.pid_file));
    }

    fn start_watcher(&self, temporary: Option<&Path>) -> Result<Child, ServerError> {
        let stop = if self.stop == Signal::INT { "INT" } else { "TERM" };
        Command::new("/bin/sh")
            .args(["-c", WATCHER, "mutt-watcher", &self.child.id().to_string(), stop])
            .arg(temporary.map_or(OsStr::new(""), Path::as_os_str))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(ServerError::io(self.server, "starting its watcher"))
    }

    /// Must come before the server is reaped: afterwards its process id may belong to somebody else.
    fn end_watcher(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.kill());
            drop(watcher.wait());
        }
    }

    fn write_pid_file(&self) -> Result<(), ServerError> {
        let own = std::process::id();
        let text = format!("{} {}\n", describe(self.child.id()), describe(own));
        fs::write(&self.pid_file, text)
            .map_err(ServerError::io(self.server, format!("writing {}", self.pid_file.display())))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(self.abandon);
            self.signal(Signal::CONT);
            wait_blocking(&mut self.child, Duration::from_secs(3));
        }
        self.kill();
    }
}

/// Waits without a runtime: a drop cannot await.
fn wait_blocking(child: &mut Child, limit: Duration) {
    let started = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && started.elapsed() < limit {
        pause_thread();
    }
}

#[expect(clippy::disallowed_methods, reason = "a drop cannot await, and the wait is a few milliseconds")]
fn pause_thread() {
    std::thread::sleep(POLL);
}

fn as_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// The only error of these calls that can happen here is "no such process", which is what was wanted.
fn ignore_gone(result: rustix::io::Result<()>) {
    let (Ok(()) | Err(_)) = result;
}

/// The last 20 lines, enough to see why a server did not start.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(20)).copied().collect::<Vec<_>>().join("\n")
}

/// Finds a program in `PATH` and in `extra` directories.
pub(crate) fn find_program(name: &str, extra: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(extra.iter().cloned())
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(server: &'static str, path: &Path, text: &str) -> Result<(), ServerError> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(ServerError::io(server, format!("writing {}", path.display())))
}
