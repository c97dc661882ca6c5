//! No server outlives the process that started it.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mutt_test_support::{RedisServer, eventually};

/// Set in the child process that [`a_killed_owner_takes_its_server_along`] starts from this very binary.
const ROLE: &str = "MUTT_TEST_OWNER_DIR";

fn pid_in(dir: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(dir.join("server.pid")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn a_dropped_server_is_gone_with_its_directory() {
    let server = RedisServer::start().await;
    let (pid, dir) = (server.pid().expect("it runs"), server.data_dir().to_owned());
    assert!(is_running(pid) && dir.exists());
    drop(server);
    assert!(!is_running(pid), "the process is still there");
    assert!(!dir.exists(), "its directory is still there");
}

/// Not a test of its own: the owner that gets killed. Without the variable it does nothing.
#[tokio::test]
async fn owner_process() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let server = RedisServer::builder().data_dir(dir).start().await.expect("it starts");
    server.pause();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_owner_takes_its_server_along() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut owner = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "processes::owner_process", "--nocapture"])
        .env(ROLE, dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("starts itself");
    let server = eventually("the owner's server", Duration::from_secs(20), async || pid_in(dir.path())).await;
    assert!(is_running(server));
    owner.kill().expect("SIGKILL");
    owner.wait().expect("it ended");
    eventually("the orphan ends, even paused", Duration::from_secs(20), async || !is_running(server)).await;
    let next =
        RedisServer::builder().data_dir(dir.path()).start().await.expect("the directory is free again");
    next.stop().await;
}
