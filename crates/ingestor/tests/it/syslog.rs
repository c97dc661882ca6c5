//! Real senders and real shapes over real sockets.

use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::app::{App, SOON};

/// Runs util-linux `logger`; `false` when it is not installed.
fn logger(arguments: &[&str]) -> bool {
    match Command::new("logger").args(arguments).status() {
        Ok(status) => {
            assert!(status.success(), "logger {arguments:?}");
            true
        }
        Err(error) => {
            println!("skipped: logger cannot be run: {error}");
            false
        }
    }
}

fn field<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}

#[tokio::test]
async fn logger_over_udp_and_tcp_in_every_format() {
    let app = App::start().await;
    let (udp, tcp) = (app.udp.unwrap().port().to_string(), app.tcp.unwrap().port().to_string());
    let sends: [&[&str]; 6] = [
        &["-d", "-P", &udp, "-p", "auth.crit", "--id=4242", "-t", "app", "udp default"],
        &["-d", "-P", &udp, "-p", "local3.warning", "--rfc3164", "-t", "sw01", "udp 3164"],
        &["-d", "-P", &udp, "-p", "local3.warning", "--rfc5424=notime,nohost,notq", "-t", "app", "udp nil"],
        &[
            "-T",
            "-P",
            &tcp,
            "-p",
            "daemon.err",
            "--rfc5424",
            "--msgid",
            "ID47",
            "--sd-id",
            "ex@32473",
            "--sd-param",
            "k=\"v\"",
            "-t",
            "app",
            "tcp 5424",
        ],
        &["-T", "-P", &tcp, "-p", "user.info", "--octet-count", "--rfc5424", "-t", "app", "tcp counted"],
        &["-T", "-P", &tcp, "-p", "user.debug", "--rfc3164", "-t", "app", "tcp 3164"],
    ];
    let mut expected = 0;
    for arguments in sends {
        let all = [&["-n", "127.0.0.1"], arguments].concat();
        if !logger(&all) {
            return;
        }
        expected += 1;
        app.events(expected).await;
    }
    let events = app.all_events().await;
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            (
                field(event, "message"),
                event["syslog_severity"].as_u64().unwrap(),
                field(event, "facility"),
                field(event, "program"),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("udp default", 2, "auth", "app"),
            ("udp 3164", 4, "local3", "sw01"),
            ("udp nil", 4, "local3", "app"),
            ("tcp 5424", 3, "daemon", "app"),
            ("tcp counted", 6, "user", "app"),
            ("tcp 3164", 7, "user", "app"),
        ]
    );
    assert_eq!(events[0]["procid"], "4242");
    assert_eq!(events[2]["hostname"], "127.0.0.1");
    assert_eq!(events[3]["structured_data"]["ex@32473"]["k"], "v");
    assert_eq!(events[3]["msgid"], "ID47");
    for event in &events {
        assert_eq!(event["_source"], "syslog");
        assert!(event["_id"].is_string() && event["_event_time"].is_string());
    }
}

#[tokio::test]
async fn a_burst_from_logger_is_taken_whole() {
    let app = App::start().await;
    let file = std::env::temp_dir().join(format!("mutt-burst-{}", std::process::id()));
    let lines: Vec<String> = (0..2000).map(|n| format!("burst {n}")).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let port = app.udp.unwrap().port().to_string();
    let sent =
        logger(&["-n", "127.0.0.1", "-d", "-P", &port, "-t", "burst", "-f", &file.display().to_string()]);
    std::fs::remove_file(&file).unwrap();
    if !sent {
        return;
    }
    mutt_test_support::eventually("2000 datagrams, each stored or counted", SOON, async || {
        let dropped = app.metric("mutt_ingest_udp_kernel_drops_total").await.unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let stored = app.queue_length().await as f64;
        if (stored + dropped - 2000.0).abs() < 0.5 {
            Ok(())
        } else {
            Err(format!("{stored} stored, {dropped} dropped"))
        }
    })
    .await;
}

#[tokio::test]
async fn several_lines_in_a_datagram_and_datagrams_of_many_senders() {
    let app = App::with(&[("SYSLOG_UDP_SOCKETS", "2")]).await;
    app.send_udp(&[b"<34>y\n<35>z\n", b"<36>trace\n  at x\n", b"\n\0", b""]).await;
    let events = app.events(3).await;
    let messages: Vec<&str> = events.iter().map(|event| field(event, "message")).collect();
    assert_eq!(messages, ["y", "z", "trace\n  at x"]);
    for _ in 0..20 {
        app.send_udp(&[b"<13>1 - h app - - - x"]).await;
    }
    app.events(23).await;
}

#[tokio::test]
async fn framings_mix_on_one_connection_however_they_are_split() {
    let app = App::start().await;
    let mut tcp = app.tcp().await;
    let wire = b"<13>1 - h a - - - one\n25 <13>1 - h a - - - counted<13>Nov 23 21:45:45 h a[7]: three\r\n<189>29: *Oct 11 22:14:15.123: %LINK-3-UPDOWN: Interface x\n";
    for byte in wire.chunks(7) {
        tcp.write_all(byte).await.unwrap();
        tcp.flush().await.unwrap();
    }
    tcp.write_all(b"no end").await.unwrap();
    tcp.shutdown().await.unwrap();
    let events = app.events(5).await;
    let messages: Vec<&str> = events.iter().map(|event| field(event, "message")).collect();
    assert_eq!(messages, ["one", "counted", "three", "%LINK-3-UPDOWN: Interface x", "no end"]);
    assert_eq!((field(&events[2], "program"), field(&events[2], "procid")), ("a", "7"));
    assert_eq!(events[3]["hostname"], "127.0.0.1");
    assert_eq!(events[4]["_flags"], json!(["syslog_unparsed", "hostname_from_peer", "timestamp_missing"]));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_counted() {
    let app = App::with(&[("SYSLOG_TCP_MAX_CONNECTIONS", "2")]).await;
    let mut first = app.tcp().await;
    let _second = app.tcp().await;
    mutt_test_support::eventually("two connections", SOON, async || {
        app.metric("mutt_ingest_tcp_connections").await == Some(2.0)
    })
    .await;
    let mut third = app.tcp().await;
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or_default(), 0);
    assert_eq!(app.metric("mutt_ingest_tcp_refused_total").await, Some(1.0));
    first.write_all(b"<13>1 - h a - - - still here\n").await.unwrap();
    app.events(1).await;
    drop(first);
    mutt_test_support::eventually("a free place", SOON, async || {
        app.metric("mutt_ingest_tcp_connections").await == Some(1.0)
    })
    .await;
    app.tcp().await.write_all(b"<13>1 - h a - - - there again\n").await.unwrap();
    app.events(2).await;
}

#[tokio::test]
async fn listeners_that_are_off_are_off() {
    let app = App::with(&[("SYSLOG_UDP_BIND", ""), ("SYSLOG_TCP_BIND", "")]).await;
    assert_eq!((app.udp, app.tcp), (None, None));
    assert_eq!(app.send(&crate::app::good()).await.0, 200);
}
