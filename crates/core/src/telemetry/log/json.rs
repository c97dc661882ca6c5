//! The original's JSON keys. Fields follow them under their own names.

use chrono::SecondsFormat;
use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::Value;

use super::{Record, level_name};
use crate::telemetry::fields;

/// Names that fields may not take.
const RESERVED: [&str; 11] = [
    "timestamp",
    "level",
    "message",
    "logger",
    "module",
    "line",
    "thread",
    "service",
    "version",
    "pod_name",
    "correlation_id",
];

pub(super) fn format(line: &Record<'_>) -> String {
    let mut out = Vec::with_capacity(512);
    // Text and numbers always serialise; half a line is still better than none.
    let _complete = write(line, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn write(line: &Record<'_>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut serializer = serde_json::Serializer::new(out);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("timestamp", &line.time.to_rfc3339_opts(SecondsFormat::Micros, true))?;
    map.serialize_entry("level", level_name(line.level))?;
    map.serialize_entry("message", &line.message)?;
    map.serialize_entry("logger", line.logger)?;
    if let Some(module) = line.module {
        map.serialize_entry("module", module)?;
    }
    if let Some(number) = line.line_number {
        map.serialize_entry("line", &number)?;
    }
    map.serialize_entry("thread", std::thread::current().name().unwrap_or("unnamed"))?;
    map.serialize_entry("service", line.identity.service)?;
    map.serialize_entry("version", line.identity.version)?;
    map.serialize_entry("pod_name", &line.identity.pod_name)?;
    map.serialize_entry("correlation_id", &line.correlation_id)?;
    for (name, value) in line.values.iter() {
        match value {
            // `error = %error` is the same object as `error = report(&error)`, with less in it.
            Value::String(text) if name == fields::ERROR => {
                map.serialize_entry(name, &serde_json::json!({ "message": text }))?;
            }
            value if RESERVED.contains(&name) => map.serialize_entry(&format!("field.{name}"), value)?,
            value => map.serialize_entry(name, value)?,
        }
    }
    map.end()
}
