//! `mutt up` itself: one per folder, its data kept, its services looked after, everything gone afterwards.

use std::net::TcpListener;
use std::time::Duration;

use mutt_test_support::VaultServer;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::stack::{PATIENCE, Stack, folder, signal, up};

const SERVICES: [&str; 4] = ["mutt-ingestor", "mutt-alerter", "mutt-moog-forwarder", "mutt-web-ui"];

#[tokio::test]
async fn a_second_start_finds_its_data_and_its_keys() {
    let stack = Stack::start().await;
    let key = stack.about("ingest_api_key").to_owned();
    let event = json!({"hostname": "sw1", "timestamp": "2026-11-20T10:00:00Z", "message": "remember me"});
    assert_eq!(stack.ingest().json(&event).send().await.unwrap().status(), 200);
    stack.settled().await;
    let folder = stack.stop().await;

    let stack = Stack::start_in(folder, &[]).await;
    assert_eq!(stack.about("ingest_api_key"), key);
    assert_eq!(stack.audited().await, 1);
    let ledger = stack.settled().await;
    assert_eq!(Stack::count(&ledger, "alerter", "in"), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_second_one_beside_it_says_who_runs_there() {
    let stack = Stack::start().await;
    let refused = stack.mutt(&["up"]).await;
    assert_eq!(refused.status.code(), Some(69));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    for part in ["already runs", stack.about("ingest_url"), stack.about("web_url"), stack.about("syslog")] {
        assert!(words.contains(part), "{part} is missing in: {words}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn taken_ports_are_passed_over_aloud_and_nothing_is_left_behind() {
    // Whoever has the usual port, this test or something else on the machine, the stack must do without it.
    let holder = TcpListener::bind("127.0.0.1:8080");
    let folder = folder();
    let mut command = up(&folder);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The last of what it says once everything runs.
    let ready = async { while !lines.next_line().await.unwrap().unwrap().starts_with("Logs:") {} };
    tokio::time::timeout(PATIENCE, ready).await.expect("the stack runs");
    let about = std::fs::read(folder.path().join(".mutt/stack.json")).unwrap();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
    signal(pid, Signal::TERM);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(words.contains("port 8080 is taken: HTTP ingest uses"), "{words}");
    assert!(words.contains("demo events sent"), "{words}");
    for key in ["ingest_url", "moog_url", "web_url"] {
        let address =
            about[key].as_str().unwrap().trim_start_matches("http://").split('/').next().unwrap().to_owned();
        assert!(TcpListener::bind(&address).is_ok(), "{key}: somebody still listens on {address}");
    }
    drop(holder);
}

#[tokio::test]
async fn with_vault_the_services_live_on_secrets_from_it() {
    // Says so and skips where OpenBao is not installed; under CI it must be.
    let Some(available) = VaultServer::start().await else { return };
    drop(available);
    let stack = Stack::start_in(folder(), &["--vault"]).await;
    assert!(stack.about("vault_url").starts_with("http://127.0.0.1:"));
    let event =
        json!({"hostname": "sw1", "timestamp": "2026-11-20T10:00:00Z", "message": "LINK-DOWN by Vault"});
    assert_eq!(stack.ingest().json(&event).send().await.unwrap().status(), 200);
    let ledger = stack.settled().await;
    assert_eq!(Stack::count(&ledger, "moog", "delivered"), 1, "{ledger}");
    let metrics = stack.http.get(stack.metrics_url("ingestor")).send().await.unwrap().text().await.unwrap();
    let ttl = metrics.lines().find(|line| line.starts_with("mutt_vault_token_ttl_seconds")).unwrap();
    assert!(!ttl.ends_with(" 0"), "{ttl}");
    let folder = stack.stop().await;

    let stack = Stack::start_in(folder, &["--vault"]).await;
    assert_eq!(stack.audited().await, 1);
    stack.stop().await;
}

/// Megabytes of memory that a process really uses.
fn resident_mb(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line for it");
    let kilobytes: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kilobytes / 1024
}

#[tokio::test]
async fn services_are_small_and_quick_to_start() {
    // What is promised is promised of release builds on a quiet machine; a debug build beside other tests gets slack.
    let (most_mb, most_ms) = if cfg!(debug_assertions) { (45, 20_000) } else { (30, 1000) };
    let stack = Stack::start().await;
    for service in SERVICES {
        let pid = stack.pid_of(service).expect("it runs");
        let (mb, ms) = (resident_mb(pid), stack.ready_ms(service));
        assert!(mb <= most_mb, "{service} uses {mb} MB at rest, at most {most_mb} were promised");
        assert!(ms <= most_ms, "{service} was ready after {ms} ms, at most {most_ms} were promised");
    }
    stack.stop().await;
}

#[tokio::test]
async fn killing_it_takes_everything_along() {
    let stack = Stack::start().await;
    let pids: Vec<i32> = SERVICES.iter().map(|name| stack.pid_of(name).expect("it runs")).collect();
    drop(stack);
    mutt_test_support::eventually("the services to end", Duration::from_secs(40), async || {
        pids.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}/exe")).exists())
    })
    .await;
}
