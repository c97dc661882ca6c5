//! The `mutt` command as people and scripts call it: its words, its exit codes, its JSON.

mod data;
mod send;
mod words;

use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::process::Command;

/// `mutt` with these words, in an empty folder, with none of our own settings.
fn mutt(folder: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mutt"));
    command
        .args(words)
        .current_dir(folder.path())
        .env_remove("INGEST_API_KEY")
        .env_remove("MOOG_API_KEY")
        .env_remove("REDIS_HOST")
        .env_remove("DB_HOST")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs `mutt` to its end.
async fn run(words: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    mutt(&folder, words).output().await.expect("mutt runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
