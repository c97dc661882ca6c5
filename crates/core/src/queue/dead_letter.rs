//! What a dead letter looks like: the whole entry, with why it died right behind its id.

use ::redis::{AsyncCommands, RedisResult, aio::ConnectionLike};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Delivery;

/// Why an entry was given up. Reasons are short words from a closed set per stage, so that people can group them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// A short word: `undecodable`, `data_error`, `attempts_spent`, `rejected`, `crash_loop`, ...
    pub reason: String,
    /// The stage that gave up: `alerter` or `moog`.
    pub stage: String,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The destination's last answer, at most 2 KiB of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// When, in ms since 1970; 0 until it is stamped.
    #[serde(default)]
    pub at_ms: i64,
    /// How often people or the redrive put it back before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replays: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl DeadLetter {
    /// A dead letter of `stage` for `reason`, with no attempts and no error text yet.
    #[must_use]
    pub fn new(reason: &str, stage: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            stage: stage.to_owned(),
            attempts: 0,
            error: String::new(),
            answer: None,
            at_ms: 0,
            replays: 0,
        }
    }

    /// The entry for the dead-letter list: `{"_id":..,"_dlq":{..},` and the rest of the entry as it was.
    ///
    /// Bytes that are no JSON object are kept whole: as text in `_unparsed`, or in `_raw_base64` when they are not UTF-8.
    #[must_use]
    pub fn wrap(&self, delivery: &Delivery) -> Vec<u8> {
        // Both are made of text and numbers only: serialising them cannot fail.
        let why = serde_json::to_string(self).unwrap_or_default();
        let head = format!(r#"{{"_id":"{}","_dlq":{why}"#, delivery.id());
        let object = delivery.text().ok().filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
        let tail = match (object.and_then(|text| text.get(45..)), delivery.text()) {
            (Some(rest), _) => rest.to_owned(),
            (None, Ok(text)) => {
                format!(r#","_unparsed":{}}}"#, serde_json::Value::from(text))
            }
            (None, Err(_)) => format!(r#","_raw_base64":"{}"}}"#, STANDARD.encode(delivery.bytes())),
        };
        (head + &tail).into_bytes()
    }

    /// Takes a dead letter apart: why it died, and the entry as it was before; `None` when it is not one of ours.
    #[must_use]
    pub fn unwrap_entry(entry: &str) -> Option<(Self, String)> {
        const LABEL: &str = ",\"_dlq\":";
        let rest = entry.get(45..)?.strip_prefix(LABEL)?;
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Self>();
        let why = stream.next()?.ok()?;
        let tail = rest.get(stream.byte_offset()..)?;
        Some((why, format!("{}{tail}", entry.get(..45)?)))
    }
}

/// Entries of a dead-letter list, newest first, from `offset`.
///
/// # Errors
/// The Redis error.
pub async fn list<C: ConnectionLike + Send + Sync>(
    conn: &mut C,
    dead_letters: &str,
    offset: isize,
    limit: isize,
) -> RedisResult<Vec<Vec<u8>>> {
    conn.lrange(dead_letters, offset, offset.saturating_add(limit).saturating_sub(1)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01920000-0000-7000-8000-000000000001";

    fn why() -> DeadLetter {
        DeadLetter { error: "no \"host\"".into(), attempts: 3, ..DeadLetter::new("undecodable", "alerter") }
    }

    #[test]
    fn a_dead_letter_comes_apart_into_what_was_put_in() {
        let entry = format!(r#"{{"_id":"{ID}","hostname":"h","n":1.10}}"#);
        let wrapped = String::from_utf8(why().wrap(&Delivery::new(entry.clone().into_bytes(), 0))).unwrap();
        assert_eq!(DeadLetter::unwrap_entry(&wrapped), Some((why(), entry)));
        assert!(DeadLetter::unwrap_entry(&format!(r#"{{"_id":"{ID}","a":1}}"#)).is_none());
    }

    #[test]
    fn bytes_that_are_no_object_are_kept_whole() {
        let broken = format!(r#"{{"_id":"{ID}","hostname":}}"#);
        let wrapped = why().wrap(&Delivery::new(broken.clone().into_bytes(), 0));
        let value: serde_json::Value = serde_json::from_slice(&wrapped).unwrap();
        assert_eq!(value["_unparsed"], broken);
        let mut bytes = format!(r#"{{"_id":"{ID}","x":""#).into_bytes();
        bytes.extend_from_slice(b"\xff\"}");
        let value: serde_json::Value =
            serde_json::from_slice(&why().wrap(&Delivery::new(bytes.clone(), 0))).unwrap();
        assert_eq!(STANDARD.decode(value["_raw_base64"].as_str().unwrap()).unwrap(), bytes);
    }
}
