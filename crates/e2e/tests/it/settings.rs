//! Wrong settings are refused in one go, before anything is touched.

use std::process::{Output, Stdio};

use mutt_test_support::free_port;
use tokio::process::Command;

use crate::stack::{folder, program};

const SERVICES: [(&str, &str); 4] = [
    ("mutt-ingestor", "SERVER_PORT_INGESTOR"),
    ("mutt-alerter", "METRICS_PORT_ALERTER"),
    ("mutt-moog-forwarder", "METRICS_PORT_MOOG"),
    ("mutt-web-ui", "SERVER_PORT_WEBUI"),
];

async fn run(service: &str, words: &[&str], settings: &[(&str, &str)]) -> Output {
    let folder = folder();
    let mut command = Command::new(program(service));
    command.args(words).current_dir(folder.path()).env_clear().envs(settings.iter().copied());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), command.output()).await;
    ended.expect("it ends by itself").expect("it runs")
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[tokio::test]
async fn every_problem_is_named_at_once_with_78() {
    for (service, port) in SERVICES {
        let wrong =
            [(port, "70000"), ("REDIS_PORT", "many"), ("LOG_JSON_ENABLED", "perhaps"), ("MUTT_TYPO", "1")];
        for mode in [&[][..], &["--check-config"]] {
            let refused = run(service, mode, &wrong).await;
            assert_eq!(refused.status.code(), Some(78), "{service} {mode:?}: {}", words(&refused));
            for (key, value) in wrong {
                let text = words(&refused);
                assert!(text.contains(key), "{service} does not name {key}:\n{text}");
                if key != "MUTT_TYPO" {
                    assert!(text.contains(value), "{service} does not show {value}:\n{text}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_check_of_good_settings_starts_nothing() {
    let secrets = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        secrets.path(),
        "INGEST_API_KEY=a\nWEBUI_API_KEY=b\nMOOG_API_KEY=c\nREDIS_PASS=d\nDB_PASS=e\n",
    )
    .unwrap();
    let listening = free_port().to_string();
    for (service, port) in SERVICES {
        // Nobody is at these addresses: a check that connected would fail.
        let away = free_port().to_string();
        let settings = [
            (port, listening.as_str()),
            ("SECRETS_BACKEND", "file"),
            ("SECRETS_FILE", secrets.path().to_str().unwrap()),
            ("REDIS_HOST", "127.0.0.1"),
            ("REDIS_PORT", away.as_str()),
            ("DB_HOST", "127.0.0.1"),
            ("DB_PORT", away.as_str()),
            ("MOOG_WEBHOOK_URL", "http://127.0.0.1:9/events"),
        ];
        let checked = run(service, &["--check-config"], &settings).await;
        assert_eq!(checked.status.code(), Some(0), "{service}: {}", words(&checked));
    }
}

#[tokio::test]
async fn a_wrong_option_ends_with_64() {
    for (service, _) in SERVICES {
        let refused = run(service, &["--no-such-option"], &[]).await;
        assert_eq!(refused.status.code(), Some(64), "{service}: {}", words(&refused));
    }
}
