//! The binary itself: what it says about wrong settings, and how it ends.

use std::process::{Command, Output};

fn ingestor(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mutt-ingestor"));
    command.env_clear().args(arguments).envs(env.iter().copied());
    command.output().unwrap()
}

#[test]
fn every_wrong_setting_is_named_at_once_and_the_exit_is_78() {
    let env = [
        ("SECRETS_BACKEND", "file"),
        ("SECRETS_FILE", "/nowhere"),
        ("SERVER_PORT_INGESTOR", "99999"),
        ("SYSLOG_UDP_BIND", "5514"),
        ("INGEST_MAX_EVENT_BYTES", "1TiB"),
        ("MUTT_TYPO", "1"),
    ];
    for arguments in [&[][..], &["--check-config"]] {
        let output = ingestor(arguments, &env);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for (key, value) in env.into_iter().skip(2) {
            assert!(said.contains(key) && said.contains(value), "{key}: {said}");
        }
    }
}

#[test]
fn good_settings_are_checked_without_starting_anything() {
    let env = [("SECRETS_BACKEND", "file"), ("SECRETS_FILE", "/nowhere"), ("REDIS_PORT", "1")];
    let output = ingestor(&["--check-config"], &env);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
