//! `server.pid`: who runs on a data directory, so that an orphan is found and a living owner is respected.

use std::fs;
use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;

use super::{STOP_GRACE, as_pid, ignore_gone, pause_thread};
use crate::ServerError;

/// Stops an orphan of an earlier run on `dir`, or refuses when its owner still lives.
pub(super) fn release_from_previous(
    server: &'static str,
    dir: &Path,
    pid_file: &Path,
) -> Result<(), ServerError> {
    let Ok(text) = fs::read_to_string(pid_file) else {
        return Ok(());
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [pid, started, owner, owner_started] = fields.as_slice() else {
        return Ok(());
    };
    if !is_alive(pid, started) {
        return Ok(());
    }
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    if is_alive(owner, owner_started) {
        let (pid, owner) = (number(pid), number(owner));
        return Err(ServerError::AlreadyRunning { server, dir: dir.to_owned(), pid, owner });
    }
    if let Some(orphan) = as_pid(number(pid)) {
        ignore_gone(rustix::process::kill_process(orphan, Signal::TERM));
        ignore_gone(rustix::process::kill_process(orphan, Signal::CONT));
        let waiting = Instant::now();
        while is_alive(pid, started) && waiting.elapsed() < STOP_GRACE {
            pause_thread();
        }
        if is_alive(pid, started) {
            ignore_gone(rustix::process::kill_process_group(orphan, Signal::KILL));
        }
    }
    Ok(())
}

/// `"<pid> <start time>"`: the start time keeps a reused process id from being mistaken for the server.
pub(super) fn describe(pid: u32) -> String {
    format!("{pid} {}", start_time(&pid.to_string()).unwrap_or_else(|| "?".to_owned()))
}

fn is_alive(pid: &str, started: &str) -> bool {
    start_time(pid).is_some_and(|now| now == started)
}

/// Field 22 of `/proc/<pid>/stat`, counted from the closing bracket of the name; `None` for a dead or zombie process.
fn start_time(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}
