//! The keys of the Web UI as they are now.

use arc_swap::ArcSwap;
use mutt_core::{
    http::ApiKeys,
    secrets::{Key, Revision, Secrets},
};

use super::Role;

/// Keys that follow the secrets.
pub(crate) struct LiveKeys {
    secrets: Secrets,
    current: ArcSwap<(Revision, ApiKeys)>,
}

impl LiveKeys {
    pub(crate) fn new(secrets: Secrets) -> Self {
        let current = ArcSwap::from_pointee(read(&secrets));
        Self { secrets, current }
    }

    /// Name and role of the key that was presented.
    pub(crate) fn verify(&self, presented: &[u8]) -> Option<(String, Role)> {
        self.refresh();
        let current = self.current.load();
        current.1.verify(presented).map(|name| (name.to_owned(), Role::of_key(name)))
    }

    /// Whether there still is a key of this name: sessions end with the key that opened them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.refresh();
        self.current.load().1.names().any(|known| known == name)
    }

    fn refresh(&self) {
        if self.current.load().0 != self.secrets.revision() {
            self.current.store(read(&self.secrets).into());
        }
    }
}

fn read(secrets: &Secrets) -> (Revision, ApiKeys) {
    // The revision first: a change in between is then read again.
    let revision = secrets.revision();
    (revision, ApiKeys::new(secrets.named(Key::WebuiApiKey)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_the_secrets() {
        let (writer, secrets) =
            Secrets::adjustable([("WEBUI_API_KEY", "one"), ("WEBUI_API_KEY_VIEWER", "two")]);
        let keys = LiveKeys::new(secrets);
        assert_eq!(keys.verify(b"one"), Some(("default".to_owned(), Role::Admin)));
        assert_eq!(keys.verify(b"two"), Some(("viewer".to_owned(), Role::Viewer)));
        writer.replace([("WEBUI_API_KEY", "three")]);
        assert_eq!(keys.verify(b"one"), None);
        assert_eq!(keys.verify(b"three"), Some(("default".to_owned(), Role::Admin)));
        assert!(keys.has("default") && !keys.has("viewer"));
    }
}
