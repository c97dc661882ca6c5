//! One reading of all secrets.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

/// A secret that MUTT knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// What senders present to the ingestor.
    IngestApiKey,
    /// What API clients present to the Web UI; it has the admin role.
    WebuiApiKey,
    /// What the forwarder presents to Moogsoft.
    MoogApiKey,
    /// `PostgreSQL` account; wins over the setting of the same name.
    DbUser,
    /// `PostgreSQL` password in use; legacy name `DB_PASS`.
    DbPassCurrent,
    /// `PostgreSQL` password being rotated in.
    DbPassNext,
    /// Redis password in use; legacy name `REDIS_PASS`.
    RedisPassCurrent,
    /// Redis password being rotated in.
    RedisPassNext,
}

impl Key {
    /// The name in Vault and in a secrets file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IngestApiKey => "INGEST_API_KEY",
            Self::WebuiApiKey => "WEBUI_API_KEY",
            Self::MoogApiKey => "MOOG_API_KEY",
            Self::DbUser => "DB_USER",
            Self::DbPassCurrent => "DB_PASS_CURRENT",
            Self::DbPassNext => "DB_PASS_NEXT",
            Self::RedisPassCurrent => "REDIS_PASS_CURRENT",
            Self::RedisPassNext => "REDIS_PASS_NEXT",
        }
    }

    /// The name before rotation existed; read when the new one is absent.
    fn legacy(self) -> Option<&'static str> {
        match self {
            Self::DbPassCurrent => Some("DB_PASS"),
            Self::RedisPassCurrent => Some("REDIS_PASS"),
            _ => None,
        }
    }

    pub(super) fn with_legacy_name(self) -> String {
        match self.legacy() {
            Some(legacy) => format!("{} (or {legacy})", self.as_str()),
            None => self.as_str().to_owned(),
        }
    }
}

/// Counts changes of the secrets; only for telling one state from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(u64);

impl Revision {
    pub(super) const FIRST: Self = Self(1);

    pub(super) fn advance(&mut self) {
        self.0 += 1;
    }
}

/// What one reading of the source found; empty values are left out.
pub(super) struct Values {
    /// Where it was read, in words for an error message.
    origin: String,
    entries: BTreeMap<String, SecretString>,
}

impl Values {
    pub(super) fn new(origin: String, entries: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        let entries = entries.into_iter().filter(|(_, value)| !value.expose_secret().is_empty()).collect();
        Self { origin, entries }
    }

    pub(super) fn from_pairs<'a>(origin: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = pairs.into_iter().map(|(name, value)| (name.to_owned(), SecretString::from(value)));
        Self::new(origin.to_owned(), owned)
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&SecretString> {
        self.entries.get(name)
    }

    pub(super) fn get(&self, key: Key) -> Option<&SecretString> {
        self.by_name(key.as_str()).or_else(|| key.legacy().and_then(|legacy| self.by_name(legacy)))
    }

    pub(super) fn named(&self, key: Key) -> Vec<(String, SecretString)> {
        let name_of = |name: &str| match name.strip_prefix(key.as_str())? {
            "" => Some("default".to_owned()),
            rest => rest.strip_prefix('_').map(str::to_ascii_lowercase),
        };
        self.entries.iter().filter_map(|(name, value)| Some((name_of(name)?, value.clone()))).collect()
    }

    /// Names that are new, gone or have another value.
    pub(super) fn names_that_differ(&self, other: &Self) -> Vec<String> {
        let differs = |name: &&String| {
            let value = |values: &Self| values.by_name(name).map(|value| value.expose_secret().to_owned());
            value(self) != value(other)
        };
        let mut names: Vec<String> =
            self.entries.keys().chain(other.entries.keys()).filter(differs).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Names only.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Values")
            .field("origin", &self.origin)
            .field("names", &self.entries.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(values: &Values, key: Key) -> Option<&str> {
        values.get(key).map(ExposeSecret::expose_secret)
    }

    #[test]
    fn a_legacy_name_stands_in_only_when_the_new_one_is_absent() {
        let old = Values::from_pairs("test", [("REDIS_PASS", "old")]);
        assert_eq!(value_of(&old, Key::RedisPassCurrent), Some("old"));
        let both = Values::from_pairs("test", [("REDIS_PASS", "old"), ("REDIS_PASS_CURRENT", "new")]);
        assert_eq!(value_of(&both, Key::RedisPassCurrent), Some("new"));
        assert_eq!(value_of(&both, Key::RedisPassNext), None);
    }

    #[test]
    fn an_empty_value_is_no_value() {
        let values = Values::from_pairs("test", [("REDIS_PASS_CURRENT", ""), ("REDIS_PASS", "old")]);
        assert_eq!(value_of(&values, Key::RedisPassCurrent), Some("old"));
    }

    #[test]
    fn a_key_may_have_several_named_values() {
        let values = Values::from_pairs(
            "test",
            [
                ("INGEST_API_KEY", "a"),
                ("INGEST_API_KEY_DC1", "b"),
                ("INGEST_API_KEYS", "no"),
                ("DB_USER", "no"),
            ],
        );
        let named: Vec<String> = values.named(Key::IngestApiKey).into_iter().map(|(name, _)| name).collect();
        assert_eq!(named, ["default", "dc1"]);
    }

    #[test]
    fn new_gone_and_other_values_differ_and_equal_ones_do_not() {
        let before = Values::from_pairs("test", [("A", "1"), ("B", "1"), ("C", "1")]);
        let after = Values::from_pairs("test", [("A", "1"), ("B", "2"), ("D", "1")]);
        assert_eq!(before.names_that_differ(&after), ["B", "C", "D"]);
        assert!(before.names_that_differ(&before).is_empty());
    }

    #[test]
    fn debug_shows_names_and_no_value() {
        let shown = format!("{:?}", Values::from_pairs("test", [("DB_USER", "visible?")]));
        assert!(shown.contains("DB_USER") && !shown.contains("visible?"), "{shown}");
    }
}
