//! A few events by every door, so that a new stack has something to show.

use std::time::Duration;

use anyhow::Context as _;
use chrono::SecondsFormat;
use mutt_core::domain::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};

use crate::stack::Stack;

/// A stack that was only just started answers soon.
const LIMIT: Duration = Duration::from_secs(10);

/// Lines as devices send them: the seed rules forward some, audit others and know nothing of the rest.
const LINES: [&str; 8] = [
    "<187>acc-sw-07: LINK-DOWN: Interface GigabitEthernet1/0/12, changed state to down",
    "<186>core-rtr-01: CRITICAL: power supply 2 has failed",
    "<189>acc-sw-03: %LINEPROTO-5-UPDOWN: Line protocol on Interface GigabitEthernet1/0/4, changed state to up",
    "<187>web-02: ERROR: upstream be_app/web3 is down, reason: Layer4 timeout",
    "<38>host-11 sshd[4122]: Accepted publickey for jlee from 198.51.100.23 port 50122 ssh2",
    "<188>fw-01: %ASA-4-106023: Deny tcp src outside:198.51.100.77/40312 dst inside:192.0.2.10/443",
    "<30>host-04 systemd[1]: Started Daily apt download activities.",
    "<189>DOT1X-FIRMWARE-RUNNING: wlc-02 runs a firmware that is no longer supported",
];

/// Sends the demo events: half as syslog over UDP, half over TCP, and an array over HTTP. Returns how many.
///
/// # Errors
/// When a listener is not there, or the HTTP answer is not a success.
pub(crate) async fn send(stack: &Stack) -> anyhow::Result<usize> {
    tokio::time::timeout(LIMIT, async {
        let (over_udp, over_tcp) = LINES.split_at(LINES.len() / 2);
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        for line in over_udp {
            socket.send_to(line.as_bytes(), &stack.syslog).await.context("sending syslog over UDP")?;
        }
        let mut stream = TcpStream::connect(&stack.syslog).await.context("connecting for syslog over TCP")?;
        for line in over_tcp {
            stream.write_all(format!("{line}\n").as_bytes()).await?;
        }
        stream.shutdown().await?;
        let events = over_http();
        let answer = reqwest::Client::builder()
            .build()?
            .post(&stack.ingest_url)
            .header("X-API-KEY", &stack.ingest_api_key)
            .json(&events)
            .send()
            .await
            .context("sending events over HTTP")?;
        answer.error_for_status().context("sending events over HTTP")?;
        Ok(LINES.len() + events.len())
    })
    .await
    .context("the demo events were not taken in time")?
}

fn over_http() -> Vec<Value> {
    let now = SystemClock.now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let event = |hostname: &str, severity: &str, message: &str| json!({ "hostname": hostname, "timestamp": now, "syslog_severity": severity, "message": message });
    vec![
        event("ups-dc1-a", "critical", "CRITICAL: battery runtime below 5 minutes"),
        event("backup-01", "error", "ERROR: job nightly-full failed after 3 tries"),
        event("erp-db-02", "warning", "replication lag is 45 s"),
        event("badge-reader-9", "info", "door 9 opened"),
    ]
}
