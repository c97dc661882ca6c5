//! The original's text line, `time - LEVEL - [correlation id] - message`, with the fields behind it.

use std::fmt::Write as _;

use serde_json::Value;
use tracing::Level;

use super::{Record, level_name};

pub(super) fn format(line: &Record<'_>, colour: bool) -> String {
    let mut text = String::with_capacity(256);
    let time = line.time.format("%Y-%m-%d %H:%M:%S%.3fZ");
    let (paint, plain) = if colour { (paint(line.level), "\x1b[0m") } else { ("", "") };
    let level = level_name(line.level);
    // Writing into a String cannot fail.
    let _infallible = write!(text, "{time} - {paint}{level}{plain} - [{}] - ", Clean(&line.correlation_id));
    push_clean(&mut text, &line.message);
    for (name, value) in line.values.iter() {
        let _infallible = write!(text, " {name}=");
        push_value(&mut text, value);
    }
    text
}

fn paint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[2m",
    }
}

fn push_value(text: &mut String, value: &Value) {
    match value {
        Value::String(value) if value.is_empty() || value.contains([' ', '"', '=']) => {
            let _infallible = write!(text, "{value:?}");
        }
        Value::String(value) => push_clean(text, value),
        // An error with its causes: `refused: connection reset`.
        Value::Object(error) if error.contains_key("causes") => {
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
            let causes = error.get("causes").and_then(Value::as_array).into_iter().flatten();
            let chain: Vec<&str> = std::iter::once(message).chain(causes.filter_map(Value::as_str)).collect();
            let _infallible = write!(text, "{:?}", chain.join(": "));
        }
        value => {
            let _infallible = write!(text, "{value}");
        }
    }
}

/// Text from outside may not end the line or steer the terminal.
struct Clean<'a>(&'a str);

impl std::fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            if c.is_control() && c != '\t' { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

fn push_clean(text: &mut String, part: &str) {
    let _infallible = write!(text, "{}", Clean(part));
}
