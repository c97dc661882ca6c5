//! Keys and passwords of the private stack: made once, kept in a file that only its owner can read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use rand::Rng as _;

use crate::stack::write_private;

const FILE: &str = "secrets.env";
/// 32 letters and digits are 190 bits.
const LENGTH: usize = 32;
/// The names under which the services look for them, in Vault and in a secrets file.
const MADE: [&str; 5] =
    ["INGEST_API_KEY", "WEBUI_API_KEY", "MOOG_API_KEY", "DB_PASS_CURRENT", "REDIS_PASS_CURRENT"];

/// All keys of the stack by name.
#[derive(Clone)]
pub(crate) struct Keys {
    values: BTreeMap<String, String>,
    are_new: bool,
}

impl Keys {
    /// Reads the folder's keys; makes those that are missing and keeps them for the next time.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let mut keys = BTreeMap::new();
        if path.exists() {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
                keys.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        let before = keys.len();
        for name in MADE {
            keys.entry(name.to_owned()).or_insert_with(random_word);
        }
        // The private PostgreSQL knows one account.
        keys.entry("DB_USER".to_owned()).or_insert_with(|| "mutt".to_owned());
        if keys.len() > before {
            let lines: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            write_private(&path, lines.concat().as_bytes())?;
        }
        Ok(Self { values: keys, are_new: before == 0 })
    }

    /// Where the services find them, as `SECRETS_FILE`.
    pub(crate) fn path(folder: &Path) -> std::path::PathBuf {
        folder.join(FILE)
    }

    /// Whether there were none before: no data of an earlier run can be opened with them.
    pub(crate) fn are_new(&self) -> bool {
        self.are_new
    }

    /// One key; every name that is asked for is made by [`Keys::open`].
    pub(crate) fn get(&self, name: &str) -> String {
        self.values.get(name).cloned().unwrap_or_default()
    }

    /// All of them, for Vault.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// Letters and digits only: safe in URLs, shells and configuration files.
fn random_word() -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(LENGTH).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_kept_private_and_stay_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::open(folder.path()).unwrap();
        let second = Keys::open(folder.path()).unwrap();
        assert_eq!(first.pairs(), second.pairs());
        assert!(first.are_new() && !second.are_new());
        assert_eq!(first.get("INGEST_API_KEY").len(), LENGTH);
        assert_ne!(first.get("INGEST_API_KEY"), first.get("WEBUI_API_KEY"));
        let mode = fs::metadata(Keys::path(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_a_person_put_there_is_respected() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(Keys::path(folder.path()), "INGEST_API_KEY=mine\n").unwrap();
        assert_eq!(Keys::open(folder.path()).unwrap().get("INGEST_API_KEY"), "mine");
    }
}
