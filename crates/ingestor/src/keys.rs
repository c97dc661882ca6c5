//! Who may send and who may look: the keys as they are now.

use std::sync::Arc;

use arc_swap::ArcSwap;
use mutt_core::{
    http::ApiKeys,
    runtime::{Lifecycle, StartError},
    secrets::{Key, Secrets},
};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;

/// A shorter text after `name=` is the padding of a base64 key, not a key.
const SHORTEST_NAMED_KEY: usize = 8;

/// The keys of the moment.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Senders.
    pub(crate) ingest: ApiKeys,
    /// Administrators.
    pub(crate) admin: ApiKeys,
}

/// [`Keys`] that follow the secrets; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LiveKeys(Arc<ArcSwap<Keys>>);

impl LiveKeys {
    /// Takes the keys, and takes them again whenever the secrets change.
    ///
    /// # Errors
    /// There is no key for senders: nobody could ever send.
    pub(crate) fn follow(secrets: &Secrets, lifecycle: &Lifecycle) -> Result<Self, StartError> {
        let mut changes = secrets.changed();
        let keys = Keys::of(secrets);
        if keys.ingest.is_empty() {
            return Err(StartError::misconfigured(
                "the secret INGEST_API_KEY is missing, so nobody could send",
            ));
        }
        let live = Self(Arc::new(ArcSwap::from_pointee(keys)));
        let (followed, secrets, draining) = (live.clone(), secrets.clone(), lifecycle.draining());
        lifecycle.spawn_critical("api keys", async move {
            while draining.run_until_cancelled(changes.changed()).await.is_some_and(|changed| changed.is_ok())
            {
                let keys = Keys::of(&secrets);
                if keys.ingest.is_empty() {
                    warn!("the secret INGEST_API_KEY is gone: every sender is refused");
                }
                followed.0.store(Arc::new(keys));
            }
            draining.cancelled().await; // secrets that never change close their channel
            Ok(())
        });
        Ok(live)
    }

    pub(crate) fn now(&self) -> Arc<Keys> {
        self.0.load_full()
    }
}

impl Keys {
    fn of(secrets: &Secrets) -> Self {
        let named = |key| {
            let all = secrets.named(key).into_iter();
            ApiKeys::new(all.flat_map(|(name, secret)| several(name, &secret)).collect::<Vec<_>>())
        };
        Self { ingest: named(Key::IngestApiKey), admin: named(Key::WebuiApiKey) }
    }
}

/// One secret may hold several keys: `dc1=key,dc2=key` or `{"dc1":"key","dc2":"key"}`. Anything else is one key.
fn several(name: String, secret: &SecretString) -> Vec<(String, SecretString)> {
    let text = secret.expose_secret();
    if let Ok(object) = serde_json::from_str::<std::collections::BTreeMap<String, String>>(text) {
        return object.into_iter().map(|(name, key)| (name, key.into())).collect();
    }
    let pair = |part: &str| {
        let (name, key) = part.trim().split_once('=')?;
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        (is_name && key.len() >= SHORTEST_NAMED_KEY).then(|| (name.to_owned(), SecretString::from(key)))
    };
    let pairs: Option<Vec<_>> = text.split(',').map(pair).collect();
    pairs.unwrap_or_else(|| vec![(name, secret.clone())])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(value: &str) -> Vec<String> {
        let keys = Keys::of(&Secrets::fixed([("INGEST_API_KEY", value)]));
        keys.ingest.names().map(str::to_owned).collect()
    }

    #[test]
    fn one_secret_may_hold_several_keys() {
        assert_eq!(names("plain-key"), ["default"]);
        assert_eq!(names("dc1=key-number-1, dc2=key-number-2"), ["dc1", "dc2"]);
        assert_eq!(names(r#"{"dc1":"k1","dc2":"k2"}"#), ["dc1", "dc2"]);
        let keys =
            Keys::of(&Secrets::fixed([("INGEST_API_KEY", "dc1=key-number-1"), ("INGEST_API_KEY_NEXT", "n")]));
        assert_eq!(keys.ingest.verify(b"key-number-1"), Some("dc1"));
        assert_eq!(keys.ingest.verify(b"n"), Some("next"));
    }

    #[test]
    fn a_key_with_padding_or_commas_is_still_one_key() {
        for key in ["c2VjcmV0LWtleQ==", "abc=", "a,b=c", "key,with,commas"] {
            let keys = Keys::of(&Secrets::fixed([("INGEST_API_KEY", key)]));
            assert_eq!(keys.ingest.verify(key.as_bytes()), Some("default"), "{key}");
        }
    }

    #[tokio::test]
    async fn keys_follow_the_secrets() {
        let lifecycle = Lifecycle::for_tests();
        assert!(LiveKeys::follow(&Secrets::fixed([]), &lifecycle).is_err());
        let (writer, secrets) = Secrets::adjustable([("INGEST_API_KEY", "old")]);
        let live = LiveKeys::follow(&secrets, &lifecycle).unwrap();
        assert!(live.now().ingest.verify(b"old").is_some());
        writer.replace([("INGEST_API_KEY", "new"), ("WEBUI_API_KEY", "admin")]);
        mutt_test_support::eventually("the new key", Duration::from_secs(5), async || {
            live.now().ingest.verify(b"new").is_some() && live.now().admin.verify(b"admin").is_some()
        })
        .await;
        assert!(live.now().ingest.verify(b"old").is_none());
        lifecycle.drain("test");
        lifecycle.wait().await;
    }
}
