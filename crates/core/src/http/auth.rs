//! API keys, compared without telling anything by the time it takes.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Named keys. Only their digests are kept.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Vec<(String, [u8; 32])>);

impl ApiKeys {
    /// Keys by name; empty keys are left out, because an empty header would match them.
    pub fn new(keys: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        let keys = keys.into_iter().filter(|(_, key)| !key.expose_secret().is_empty());
        Self(keys.map(|(name, key)| (name, digest(key.expose_secret().as_bytes()))).collect())
    }

    /// Whether no key would be accepted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of all keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The name of the key that was presented. Any bytes may be presented.
    ///
    /// Compares digests with every key, so that neither content nor length nor position shows in the time.
    #[must_use]
    pub fn verify(&self, presented: &[u8]) -> Option<&str> {
        let presented = digest(presented);
        let mut found = None;
        for (name, key) in &self.0 {
            if bool::from(presented.ct_eq(key)) && found.is_none() {
                found = Some(name.as_str());
            }
        }
        found
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_key_is_accepted_and_named() {
        let keys = ApiKeys::new([("a".to_owned(), "key-one".into()), ("b".to_owned(), "key-two".into())]);
        assert_eq!(keys.verify(b"key-two"), Some("b"));
        for wrong in [&b"key"[..], b"", b"key-one ", "schl\u{fc}ssel".as_bytes(), b"\xff\xfe"] {
            assert_eq!(keys.verify(wrong), None);
        }
    }

    #[test]
    fn an_empty_key_opens_nothing() {
        let keys = ApiKeys::new([("a".to_owned(), "".into())]);
        assert!(keys.is_empty());
        assert_eq!(keys.verify(b""), None);
    }
}
