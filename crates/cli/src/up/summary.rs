//! What a person needs once the stack runs: addresses, keys, and lines to try.

use std::path::Path;

use crate::output::table;
use crate::stack::Stack;

/// The closing words of a start; `called` is how this program was called.
pub(crate) fn text(stack: &Stack, folder: &Path, called: &str) -> String {
    let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
    let mut rows = vec![
        row(&["Console", &stack.web_url, &format!("key {}", stack.web_api_key)]),
        row(&["HTTP ingest", &stack.ingest_url, &format!("key {}", stack.ingest_api_key)]),
        row(&["Syslog UDP and TCP", &stack.syslog, ""]),
        row(&["Moogsoft stand-in", &format!("{}/alerts", stack.moog_url), "what was delivered"]),
    ];
    for (service, url) in &stack.metrics {
        rows.push(row(&[&format!("Metrics, {service}"), url, ""]));
    }
    rows.push(row(&["PostgreSQL", &stack.database_url, ""]));
    rows.push(row(&["Redis", &stack.redis_url, ""]));
    if let Some(vault) = &stack.vault_url {
        rows.push(row(&["Vault (OpenBao)", vault, "root token in openbao/keys.json"]));
    }
    let what = table(&["WHAT", "WHERE", ""], &rows);
    let logs = folder.join("logs");
    format!(
        "\n{what}\n\n{}\n\nLogs: {}. Ctrl-C stops everything; the data stays for the next time.\n",
        try_this(stack, called),
        logs.display()
    )
}

/// Lines that can be pasted into another terminal as they are.
fn try_this(stack: &Stack, called: &str) -> String {
    let (host, port) = stack.syslog.rsplit_once(':').unwrap_or((&stack.syslog, "514"));
    let Stack { ingest_url, ingest_api_key, moog_url, .. } = stack;
    format!(
        r#"Try this in another terminal:
  logger -n {host} -P {port} -d -p local0.crit 'LINK-DOWN on port 7'
  logger -n {host} -P {port} -T -p local0.err 'ERROR: disk 3 is full'

  URL={ingest_url}  KEY='X-API-KEY: {ingest_api_key}'
  ONE='{{"hostname":"sw1","timestamp":"'$(date -Is)'","message":"LINK-DOWN on port 1"}}'
  curl -H "$KEY" -H 'Content-Type: application/json' $URL -d "$ONE"
  curl -H "$KEY" -H 'Content-Type: application/json' $URL -d "[$ONE,$ONE]"
  printf '%s\n' "$ONE" "$ONE" | curl -H "$KEY" -H 'Content-Type: application/x-ndjson' $URL --data-binary @-
  curl '{moog_url}/alerts?limit=3'

  {called} send udp --count 1000
  {called} queues
  {called} ledger"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        Stack {
            pid: 7,
            ingest_url: "http://127.0.0.1:8080/ingest".into(),
            ingest_api_key: "in-key".into(),
            syslog: "127.0.0.1:5514".into(),
            web_url: "http://127.0.0.1:8090".into(),
            web_api_key: "web-key".into(),
            moog_url: "http://127.0.0.1:18083".into(),
            redis_url: "redis://:r@127.0.0.1:1/".into(),
            database_url: "postgres://mutt:p@127.0.0.1:2/mutt_db".into(),
            vault_url: None,
            ready_ms: std::collections::BTreeMap::new(),
            metrics: vec![("alerter".into(), "http://127.0.0.1:8081/metrics".into())],
        }
    }

    #[test]
    fn addresses_keys_and_pastable_lines_are_there() {
        let text = text(&stack(), Path::new("/x/.mutt"), "target/debug/mutt");
        for part in [
            "http://127.0.0.1:8090",
            "key web-key",
            "logger -n 127.0.0.1 -P 5514 -d",
            "logger -n 127.0.0.1 -P 5514 -T",
            "X-API-KEY: in-key",
            "\"timestamp\":\"'$(date -Is)'\"",
            "target/debug/mutt send udp",
            "/x/.mutt/logs",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("Vault"));
    }
}
