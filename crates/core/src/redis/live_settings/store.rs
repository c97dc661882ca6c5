//! Live settings in Redis: read all, write one and tell everybody.

use ::redis::{RedisError, RedisResult, aio::ConnectionLike};

use super::registry::{DEFINITIONS, Definition, find};
use crate::redis::keys;

/// Why a live setting was not written. The first two are the caller's fault (HTTP 404 or 422).
#[derive(Debug, thiserror::Error)]
pub enum LiveSettingsError {
    /// There is no such setting.
    #[error("there is no setting `{key}`{}", nearest.map_or_else(String::new, |key| format!("; was `{key}` meant?")))]
    UnknownKey {
        /// What was asked for.
        key: String,
        /// A setting of a similar name.
        nearest: Option<&'static str>,
    },
    /// The value does not fit.
    #[error("`{key}` must be {allowed}; `{value}` is not")]
    BadValue {
        /// The setting.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would fit, in words.
        allowed: String,
    },
    /// Redis did not take it; whether it was written is then unknown.
    #[error("changing the setting `{key}` in Redis")]
    Redis {
        /// The setting.
        key: &'static str,
        /// What Redis or the way to it said.
        #[source]
        source: RedisError,
    },
}

impl LiveSettingsError {
    /// Whether the same call can succeed later with nothing changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::UnknownKey { .. } | Self::BadValue { .. } => false,
            Self::Redis { .. } => true,
        }
    }
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The setting.
    pub key: &'static str,
    /// Its text before; `None` when it was not set.
    pub before: Option<String>,
    /// Its text now; `None` when it is not set any more.
    pub after: Option<String>,
}

/// The Redis key of a setting.
fn redis_key(key: &str) -> String {
    format!("{}:{key}", keys::CONFIG_PREFIX)
}

/// The texts of all settings, in the order of [`DEFINITIONS`]; `None` where one is not set.
///
/// # Errors
/// When Redis does not answer. Worth a retry.
pub async fn read_all<C: ConnectionLike + Send>(conn: &mut C) -> RedisResult<Vec<Option<String>>> {
    let keys: Vec<String> = DEFINITIONS.iter().map(|definition| redis_key(definition.key)).collect();
    ::redis::cmd("MGET").arg(keys).query_async(conn).await
}

/// Sets `key` to `text` for all services, or with `None` gives it back to each service's own setting.
///
/// Written and announced in one transaction, so nobody hears of a change that was not made.
///
/// # Errors
/// [`LiveSettingsError`]; nothing was written for the first two.
pub async fn write<C: ConnectionLike + Send>(
    conn: &mut C,
    key: &str,
    text: Option<&str>,
) -> Result<Change, LiveSettingsError> {
    let definition = find(key).ok_or_else(|| unknown(key))?;
    let after = text.map(|text| canonical(definition, text)).transpose()?;
    let stored_as = redis_key(definition.key);
    let mut step = ::redis::pipe();
    step.atomic();
    match &after {
        // GETDEL and SET GET answer what was there before.
        None => step.cmd("GETDEL").arg(&stored_as),
        Some(value) => step.cmd("SET").arg(&stored_as).arg(value).arg("GET"),
    };
    step.cmd("PUBLISH").arg(keys::CONFIG_UPDATES).arg(definition.key).ignore();
    let (before,): (Option<String>,) = step
        .query_async(conn)
        .await
        .map_err(|source| LiveSettingsError::Redis { key: definition.key, source })?;
    Ok(Change { key: definition.key, before, after })
}

/// Checks a value without writing it, and returns the text that would be stored.
///
/// # Errors
/// [`LiveSettingsError::UnknownKey`] or [`LiveSettingsError::BadValue`].
pub fn check(key: &str, text: &str) -> Result<String, LiveSettingsError> {
    canonical(find(key).ok_or_else(|| unknown(key))?, text)
}

fn canonical(definition: &Definition, text: &str) -> Result<String, LiveSettingsError> {
    definition.kind.canonical(text).ok_or_else(|| LiveSettingsError::BadValue {
        key: definition.key,
        value: text.chars().take(80).collect(),
        allowed: definition.kind.allowed(),
    })
}

fn unknown(key: &str) -> LiveSettingsError {
    let words = |text: &str| text.split('_').map(str::to_ascii_lowercase).collect::<Vec<_>>();
    let asked = words(key);
    let shared =
        |definition: &&Definition| words(definition.key).iter().filter(|word| asked.contains(word)).count();
    let nearest = DEFINITIONS
        .iter()
        .max_by_key(shared)
        .filter(|definition| shared(definition) * 2 >= asked.len())
        .map(|definition| definition.key);
    LiveSettingsError::UnknownKey { key: key.chars().take(80).collect(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_would_do() {
        let bad = check("moog_rate_limit", "fast").unwrap_err();
        assert_eq!(
            bad.to_string(),
            "`moog_rate_limit` must be a whole number from 1 to 1000000; `fast` is not"
        );
        let unknown = check("moog_limit", "1").unwrap_err();
        assert!(unknown.to_string().contains("moog_rate_limit"), "{unknown}");
        assert!(!check("colour", "1").unwrap_err().to_string().contains("meant"));
        assert!(!bad.is_transient() && !unknown.is_transient());
    }

    #[test]
    fn what_is_stored_is_canonical() {
        assert_eq!(check("retention_enforcement_enabled", "Off").unwrap(), "false");
        assert_eq!(check("alerter_shed_mode", "DLQ").unwrap(), "dlq");
    }
}
