//! What a person needs once the stack runs: addresses, keys, and lines to try.

use std::path::Path;

use crate::output::table;
use crate::stack::Stack;

/// The closing words of a start.
pub(crate) fn text(stack: &Stack, folder: &Path) -> String {
    let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
    let mut rows = vec![
        row(&["Console", &stack.web_url, &format!("key {}", stack.web_api_key)]),
        row(&["HTTP ingest", &stack.ingest_url, &format!("X-API-KEY: {}", stack.ingest_api_key)]),
        row(&["Syslog UDP and TCP", &stack.syslog, "no key"]),
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
    format!("{}\n{}", table(&["what", "where", ""], &rows), try_this(stack, folder))
}

/// Lines that can be pasted into another terminal as they are.
fn try_this(stack: &Stack, folder: &Path) -> String {
    let (host, port) = stack.syslog.rsplit_once(':').unwrap_or((&stack.syslog, "514"));
    let Stack { ingest_url, ingest_api_key, moog_url, .. } = stack;
    let key = format!("-H 'X-API-KEY: {ingest_api_key}'");
    let json = "-H 'Content-Type: application/json'";
    let event = |host: &str, text: &str| {
        format!(r#"{{"hostname":"{host}","timestamp":"'$(date -Is)'","message":"{text}"}}"#)
    };
    let (one, other) = (event("sw1", "LINK-DOWN on port 1"), event("sw2", "fan 2 is slow"));
    format!(
        "Try this in another terminal:
  logger -n {host} -P {port} -d -p local0.crit 'LINK-DOWN on port 7'
  logger -n {host} -P {port} -T -p local0.err 'ERROR: disk 3 is full'
  curl {key} {json} {ingest_url} -d '{one}'
  curl {key} {json} {ingest_url} -d '[{one},{other}]'
  printf '%s\\n' '{one}' '{other}' | curl {key} -H 'Content-Type: application/x-ndjson' {ingest_url} --data-binary @-
  curl '{moog_url}/alerts?limit=3'
  mutt send udp --count 1000        mutt queues        mutt ledger

Logs are in {}. Ctrl-C stops everything; the data stays for the next time.",
        folder.join("logs").display()
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
            metrics: vec![("alerter".into(), "http://127.0.0.1:8081/metrics".into())],
        }
    }

    #[test]
    fn addresses_keys_and_pastable_lines_are_there() {
        let text = text(&stack(), Path::new("/x/.mutt"));
        for part in [
            "http://127.0.0.1:8090",
            "key web-key",
            "logger -n 127.0.0.1 -P 5514 -d",
            "logger -n 127.0.0.1 -P 5514 -T",
            "X-API-KEY: in-key",
            "\"timestamp\":\"'$(date -Is)'\"",
            "/x/.mutt/logs",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("Vault"));
    }
}
