//! Events from a file: a JSON array, JSON objects one after the other, or lines of text.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use mutt_core::domain::event::SyslogSeverity;
use serde_json::{Map, Value};

use super::draft::Draft;
use crate::exit::Exit;

/// Reads all events of a file; `-` is standard input. The first character tells the kind.
///
/// # Errors
/// When the file cannot be read, is empty, or looks like JSON and is not.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Draft>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).context("reading standard input")?;
    } else {
        bytes = std::fs::read(path).with_context(|| Exit::unavailable(format!("reading {shown}")))?;
    }
    let drafts =
        parse(&bytes).with_context(|| Exit::config(format!("{shown} has no events as JSON or as lines")))?;
    if drafts.is_empty() {
        bail!(Exit::config(format!("{shown} is empty")));
    }
    Ok(drafts)
}

fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Draft>> {
    // Windows tools begin UTF-8 files with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => {
            let objects: Vec<Map<String, Value>> = serde_json::from_slice(bytes)?;
            Ok(objects.into_iter().map(from_object).collect())
        }
        Some(b'{') => serde_json::Deserializer::from_slice(bytes)
            .into_iter::<Map<String, Value>>()
            .map(|object| Ok(from_object(object?)))
            .collect(),
        _ => Ok(bytes.split(|&byte| byte == b'\n').filter_map(from_line).collect()),
    }
}

/// Takes what it knows from an object; a trap without host and text gets both from its address and variables.
fn from_object(object: Map<String, Value>) -> Draft {
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| object.get(*key)).and_then(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    Draft {
        hostname: text(&["hostname", "host", "source_ip"]).unwrap_or_default(),
        message: text(&["message", "msg"]).unwrap_or_else(|| describe_trap(&object)),
        timestamp: text(&["timestamp"]),
        severity: text(&["syslog_severity", "severity"]).and_then(|word| SyslogSeverity::from_text(&word)),
        program: text(&["program", "source_type"]),
        line: None,
        object: Some(object),
    }
}

/// `trap 1.3.6.1.6.3.1.1.5.3: 1.3.6.1.2.1.2.2.1.1=2, ...`, from variables as `@{oid=..; value=..}` text or as objects.
fn describe_trap(object: &Map<String, Value>) -> String {
    let oid = object.get("trap_oid").and_then(Value::as_str).unwrap_or("without an OID");
    let variables = object.get("variables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let described: Vec<String> = variables
        .iter()
        .map(|variable| match variable {
            Value::String(text) => {
                let inner = text.trim_start_matches("@{").trim_end_matches('}');
                inner.replacen("oid=", "", 1).replacen("; value=", "=", 1)
            }
            Value::Object(pair) => {
                let part =
                    |key| pair.get(key).map_or_else(String::new, |v: &Value| v.to_string().replace('"', ""));
                format!("{}={}", part("oid"), part("value"))
            }
            other => other.to_string(),
        })
        .collect();
    if described.is_empty() { format!("trap {oid}") } else { format!("trap {oid}: {}", described.join(", ")) }
}

/// A line that is syslog already is passed on as it is; any other becomes a message. Empty lines are skipped.
fn from_line(line: &[u8]) -> Option<Draft> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return None;
    }
    let is_syslog = line.first() == Some(&b'<');
    Some(Draft {
        message: String::from_utf8_lossy(line).into_owned(),
        line: is_syslog.then(|| line.to_vec()),
        ..Draft::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_with_word_severities_is_read() {
        let text = "\u{feff}[\r\n {\"hostname\":\"a\",\"message\":\"m\",\"syslog_severity\":\"Warning\",\"source_type\":\"bind\"}]";
        let drafts = parse(text.as_bytes()).unwrap();
        assert_eq!(drafts[0].severity.unwrap().get(), 4);
        assert_eq!(drafts[0].program.as_deref(), Some("bind"));
        assert_eq!(drafts[0].object.as_ref().unwrap()["syslog_severity"], "Warning");
    }

    #[test]
    fn objects_may_follow_each_other_with_or_without_line_ends() {
        let drafts = parse(b"{\"message\":\"a\"}\n{\"message\":\"b\"}{\"message\":\"c\"}").unwrap();
        let messages: Vec<_> = drafts.iter().map(|draft| draft.message.as_str()).collect();
        assert_eq!(messages, ["a", "b", "c"]);
        assert!(parse(b"{\"message\":\"a\"}\n{broken").is_err());
    }

    #[test]
    fn a_trap_gets_host_and_text_from_what_it_has() {
        let drafts = parse(
            br#"[{"source_ip":"192.0.2.7","trap_oid":"1.3.6.1.6.3.1.1.5.3","variables":["@{oid=1.2.3; value=up now}"]}]"#,
        )
        .unwrap();
        assert_eq!(drafts[0].hostname, "192.0.2.7");
        assert_eq!(drafts[0].message, "trap 1.3.6.1.6.3.1.1.5.3: 1.2.3=up now");
    }

    #[test]
    fn lines_are_messages_unless_they_are_syslog() {
        let drafts = parse(b"plain\r\n\n<13>a syslog line \xff\n").unwrap();
        assert_eq!(drafts.len(), 2);
        assert_eq!((drafts[0].message.as_str(), &drafts[0].line), ("plain", &None));
        assert_eq!(drafts[1].line.as_deref(), Some(b"<13>a syslog line \xff".as_slice()));
    }
}
