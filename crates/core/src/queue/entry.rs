//! Changes MUTT's own fields in a queue entry, and leaves the sender's text alone.

use std::fmt;

use serde::{
    Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// `entry` with these reserved fields set, right behind `_id`; a field that is set to `None` is removed. Every other field
/// keeps its place and its text. `None` when `entry` is not an object with an `_id`.
///
/// Values are JSON text. For the rare entry that fails, not for the hot path.
#[must_use]
pub fn with_fields(entry: &str, set: &[(&str, Option<String>)]) -> Option<String> {
    let fields = serde_json::Deserializer::from_str(entry).deserialize_map(Fields).ok()?;
    let (_, id) = fields.iter().find(|(name, _)| name == "_id")?;
    let mut out = String::with_capacity(entry.len() + 64);
    let mut add = |name: &str, value: &str| {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&serde_json::Value::from(name).to_string());
        out.push(':');
        out.push_str(value);
    };
    add("_id", id.get());
    for (name, value) in set {
        if let Some(value) = value {
            add(name, value);
        }
    }
    for (name, value) in &fields {
        if name != "_id" && set.iter().all(|(replaced, _)| replaced != name) {
            add(name, value.get());
        }
    }
    out.push('}');
    Some(out)
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            fields.push((name, map.next_value()?));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_fields_change_and_the_rest_keeps_its_text() {
        let entry = r#"{"_id":"x","_retry_count":3,"n":1.10,"_replays":1,"s":"a\u0041"}"#;
        let set = [("_replays", Some("2".to_owned())), ("_retry_count", None)];
        let expected = r#"{"_id":"x","_replays":2,"n":1.10,"s":"a\u0041"}"#;
        assert_eq!(with_fields(entry, &set).as_deref(), Some(expected));
        assert_eq!(with_fields("[1]", &set), None);
        assert_eq!(with_fields("{}", &set), None);
    }
}
