//! Command line, settings and ends of a life, each by its exit code and what it says.

use super::*;
use crate::{runtime::StartError, settings::http::HttpSettings};

#[derive(Debug)]
struct Own {
    address: std::net::SocketAddr,
}

fn service() -> Service<Own> {
    Service {
        name: "mutt-test",
        version: "1.2.3",
        about: "Does nothing, for a test.",
        highlights: &["SERVER_PORT_INGESTOR", "LOG_LEVEL", "VAULT_ADDR"],
        read: |reader| {
            let http = HttpSettings::read(reader);
            Own { address: http.listener(reader, "SERVER_PORT_INGESTOR", 8080, "Port of the test") }
        },
        health: |own| ProbeTarget { address: own.address, tls: false },
    }
}

struct Outcome {
    exit: Exit,
    stdout: String,
    stderr: String,
}

fn run<F>(arguments: &[&str], environment: &[(&str, &str)], run: impl FnOnce(Own, Lifecycle) -> F) -> Outcome
where
    F: Future<Output = anyhow::Result<()>>,
{
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let process = Process {
        arguments: std::iter::once("mutt-test").chain(arguments.iter().copied()).map(Into::into).collect(),
        environment: environment
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        stdout: &mut stdout,
        stderr: &mut stderr,
    };
    let exit = process.run(&service(), run);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { exit, stdout: text(stdout), stderr: text(stderr) }
}

async fn never(_: Own, _: Lifecycle) -> anyhow::Result<()> {
    panic!("nothing may be started")
}

#[test]
fn help_teaches_settings_signals_and_exit_codes() {
    let outcome = run(&["--help"], &[], never);
    assert_eq!(outcome.exit, Exit::Clean);
    for words in [
        "Does nothing, for a test.",
        "--check-config",
        "--health",
        "SERVER_PORT_INGESTOR  8080",
        "Port of the test",
        "LOG_LEVEL             INFO",
        "69  a dependency stayed away at start",
        "78  the settings are wrong",
    ] {
        assert!(outcome.stdout.contains(words), "{words:?} is not in:\n{}", outcome.stdout);
    }
    assert_eq!(run(&["--version"], &[], never).stdout.trim(), "mutt-test 1.2.3");
}

#[test]
fn a_wrong_command_line_is_64() {
    for arguments in [&["--bogus"][..], &["--config"], &["extra"], &["--check-config", "--health"]] {
        let outcome = run(arguments, &[], never);
        assert_eq!(outcome.exit.code(), 64, "{arguments:?}");
        assert!(!outcome.stderr.is_empty() && outcome.stdout.is_empty());
    }
}

#[test]
fn wrong_settings_are_78_and_all_named() {
    let environment = [("SERVER_PORT_INGESTOR", "x"), ("LOG_LEVEL", "LOUD"), ("MUTT_TYPO", "1")];
    for arguments in [&[][..], &["--check-config"], &["--print-config"], &["--health"]] {
        let outcome = run(arguments, &environment, never);
        assert_eq!(outcome.exit.code(), 78, "{arguments:?}");
        for key in
            ["mutt-test: 3 problems", "SERVER_PORT_INGESTOR = \"x\"", "LOG_LEVEL = \"LOUD\"", "MUTT_TYPO"]
        {
            assert!(outcome.stderr.contains(key), "{key} is not in:\n{}", outcome.stderr);
        }
    }
    let absent = run(&["--config", "/nowhere.toml"], &[], never);
    assert_eq!(absent.exit.code(), 78);
    assert!(
        absent.stderr.contains("/nowhere.toml") && absent.stderr.contains("No such file"),
        "{}",
        absent.stderr
    );
}

#[test]
fn good_settings_are_checked_and_printed_without_a_start() {
    let environment = [("SERVER_PORT_INGESTOR", "9999"), ("REDIS_HOTS", "x")];
    let checked = run(&["--check-config"], &environment, never);
    assert_eq!(checked.exit, Exit::Clean);
    assert!(
        checked.stdout.contains("settings are good") && checked.stdout.contains("1 from the environment")
    );
    assert!(checked.stdout.contains("warning: REDIS_HOTS is not a setting; was REDIS_HOST meant?"));
    let printed = run(&["--print-config"], &environment, never);
    assert!(printed.stdout.contains("SERVER_PORT_INGESTOR = 9999"), "{}", printed.stdout);
    assert!(printed.stdout.contains("# environment"));
}

#[test]
fn health_is_1_when_nobody_answers() {
    // Bound and dropped: free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let environment = [("BIND_ADDR", "127.0.0.1"), ("SERVER_PORT_INGESTOR", port.as_str())];
    let outcome = run(&["--health"], &environment, never);
    assert_eq!(outcome.exit.code(), 1);
    assert!(outcome.stderr.contains("no answer from 127.0.0.1:"), "{}", outcome.stderr);
}

#[test]
fn each_end_of_a_life_has_its_exit_code() {
    let ends = |ended: fn(Lifecycle) -> anyhow::Result<()>| {
        run(&[], &[("LOG_LEVEL", "OFF")], move |_, lifecycle| std::future::ready(ended(lifecycle)))
            .exit
            .code()
    };
    assert_eq!(
        ends(|lifecycle| {
            let draining = lifecycle.draining();
            lifecycle.spawn_critical("worker", async move {
                draining.cancelled().await;
                Ok(())
            });
            lifecycle.drain("test");
            Ok(())
        }),
        0
    );
    assert_eq!(
        ends(|lifecycle| {
            lifecycle.spawn_critical("worker", async { Ok(()) });
            Ok(())
        }),
        1
    );
    assert_eq!(ends(|_| Err(anyhow::anyhow!("no idea"))), 1);
    assert_eq!(ends(|_| Err(StartError::unavailable("Redis", "refused").into())), 69);
    assert_eq!(ends(|_| Err(StartError::misconfigured("no key").into())), 78);
    assert_eq!(ends(|_| Err(StartError::Stopped { dependency: "Redis" }.into())), 0);
}

#[test]
fn a_start_that_hangs_is_left_after_the_grace() {
    let environment = [("LOG_LEVEL", "OFF"), ("SHUTDOWN_GRACE", "1")];
    let outcome = run(&[], &environment, |_, lifecycle| async move {
        lifecycle.abort("test");
        std::future::pending().await
    });
    assert_eq!(outcome.exit, Exit::Clean);
}

/// Answers one request with `status`; gives the port.
fn answering(status: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        // All of it: closing with something unread would reset the connection, and the answer with it.
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            request.extend(byte);
        }
        assert!(request.starts_with(b"GET /health/ready HTTP/1.1\r\n"));
        stream.write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{{}}").as_bytes()).unwrap();
    });
    port
}

#[test]
fn health_is_0_when_ready_and_1_when_not() {
    for (status, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
        let port = answering(status);
        let environment = [("BIND_ADDR", "0.0.0.0"), ("SERVER_PORT_INGESTOR", port.as_str())];
        assert_eq!(run(&["--health"], &environment, never).exit.code(), code, "{status}");
    }
}

/// Sends this process a signal, as a supervisor would.
fn signal_myself(name: &str) {
    let sent = std::process::Command::new("kill").args([name, &std::process::id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_hang_up_reloads_the_first_term_drains_and_the_second_aborts() {
    let outcome = run(&[], &[("LOG_LEVEL", "OFF")], |_, lifecycle| async move {
        let (mut reload, draining, aborting) =
            (lifecycle.on_reload(), lifecycle.draining(), lifecycle.aborting());
        lifecycle.spawn_critical("worker", async move {
            tokio::task::spawn_blocking(|| signal_myself("-HUP")).await?;
            reload.changed().await?;
            assert!(!draining.is_cancelled());
            tokio::task::spawn_blocking(|| signal_myself("-TERM")).await?;
            draining.cancelled().await;
            assert!(!aborting.is_cancelled());
            tokio::task::spawn_blocking(|| signal_myself("-TERM")).await?;
            aborting.cancelled().await;
            Ok(())
        });
        Ok(())
    });
    assert_eq!(outcome.exit, Exit::Clean);
}
