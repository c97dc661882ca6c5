//! Secrets, live: from Vault or from a file, re-read while the service runs.
//!
//! A value leaves this module only as [`SecretString`]: never in a log, a metric, a queue or an error. What is logged is
//! names. A source that goes away after the start changes nothing: the values that were read stay in use, a metric and
//! a warning say so.

mod error;
mod file;
mod metrics;
mod source;
mod values;
mod vault;

use std::sync::Arc;

use prometheus::Registry;
use secrecy::SecretString;
use tokio::sync::watch;

pub use error::{SecretsError, VaultFailure, VaultOperation};
pub use source::open;
pub use values::{Key, Revision};

use metrics::SecretsMetrics;
use values::Values;

/// The secrets as they are now; a clone is cheap and sees every later change too.
///
/// ```
/// use mutt_core::secrets::{Key, Secrets};
///
/// let secrets = Secrets::fixed([("MOOG_API_KEY", "s3cret"), ("DB_PASS", "old style name")]);
/// assert!(secrets.get(Key::MoogApiKey).is_some());
/// assert!(secrets.get(Key::DbPassCurrent).is_some(), "the legacy name stands in");
/// assert!(!format!("{secrets:?}").contains("s3cret"));
/// ```
#[derive(Clone)]
pub struct Secrets {
    values: watch::Receiver<Arc<Values>>,
    revision: watch::Receiver<Revision>,
    metrics: SecretsMetrics,
}

impl Secrets {
    /// Secrets that never change: for tests and tools.
    #[must_use]
    pub fn fixed<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::adjustable(values).1
    }

    /// Secrets that the returned [`Writer`] changes: for tests of rotation.
    #[must_use]
    pub fn adjustable<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Writer, Self) {
        let values = Values::from_pairs("the program itself", values);
        Writer::new(values, SecretsMetrics::new())
    }

    /// The value of `key`, under its own or its legacy name; `None` when it is missing or empty.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<SecretString> {
        self.values.borrow().get(key).cloned()
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`SecretsError::Missing`], naming the key and where it was looked for. Not worth a retry as it is.
    pub fn require(&self, key: Key) -> Result<SecretString, SecretsError> {
        self.get(key).ok_or_else(|| self.missing(&[key]))
    }

    /// Checks that all `keys` have values, so that a start fails once and names every missing one.
    ///
    /// # Errors
    /// [`SecretsError::Missing`], naming all that are missing.
    pub fn require_all(&self, keys: &[Key]) -> Result<(), SecretsError> {
        let missing: Vec<Key> = keys.iter().copied().filter(|&key| self.get(key).is_none()).collect();
        if missing.is_empty() { Ok(()) } else { Err(self.missing(&missing)) }
    }

    /// The value stored under exactly this name, for secrets that are not in [`Key`].
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<SecretString> {
        self.values.borrow().by_name(name).cloned()
    }

    /// All values of a key that may have several: `KEY` itself, named `default`, and every `KEY_<NAME>`, named `<name>`
    /// in lower case. So `INGEST_API_KEY` and `INGEST_API_KEY_NEXT` are both good while senders are changed over.
    #[must_use]
    pub fn named(&self, key: Key) -> Vec<(String, SecretString)> {
        self.values.borrow().named(key)
    }

    /// Yields a change whenever a value changed; what was current at the call counts as seen.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Revision> {
        let mut changes = self.revision.clone();
        changes.mark_unchanged();
        changes
    }

    /// Which change the values stem from; moves only when a value really changed.
    #[must_use]
    pub fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    /// Exports how the source is doing: `mutt_vault_token_ttl_seconds`, `mutt_secrets_source_up`,
    /// `mutt_secrets_failures_total`, `mutt_secrets_age_seconds`.
    ///
    /// # Errors
    /// When `registry` already has metrics of these names.
    pub fn register_metrics(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.metrics.clone()))
    }

    fn missing(&self, keys: &[Key]) -> SecretsError {
        let names: Vec<String> = keys.iter().map(|key| key.with_legacy_name()).collect();
        SecretsError::Missing { keys: names.join(", "), looked_in: self.values.borrow().origin().to_owned() }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("values", &self.values.borrow()).finish_non_exhaustive()
    }
}

/// Changes the values that its [`Secrets`] hand out.
#[derive(Debug)]
pub struct Writer {
    values: watch::Sender<Arc<Values>>,
    revision: watch::Sender<Revision>,
    metrics: SecretsMetrics,
}

impl Writer {
    fn new(values: Values, metrics: SecretsMetrics) -> (Self, Secrets) {
        metrics.read_succeeded();
        let (values, values_seen) = watch::channel(Arc::new(values));
        let (revision, revision_seen) = watch::channel(Revision::FIRST);
        let secrets = Secrets { values: values_seen, revision: revision_seen, metrics: metrics.clone() };
        (Self { values, revision, metrics }, secrets)
    }

    /// Replaces all values.
    pub fn replace<'a>(&self, values: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let origin = self.values.borrow().origin().to_owned();
        self.publish(Values::from_pairs(&origin, values));
    }

    /// Takes over newly read values and tells listeners when something really changed.
    fn publish(&self, values: Values) {
        self.metrics.read_succeeded();
        let changed = self.values.borrow().names_that_differ(&values);
        if changed.is_empty() {
            return;
        }
        tracing::info!(keys = changed.join(","), "secrets changed: {}", changed.join(", "));
        self.values.send_replace(Arc::new(values));
        self.revision.send_modify(Revision::advance);
    }
}
