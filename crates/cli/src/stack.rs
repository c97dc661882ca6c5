//! The description that a running `mutt up` leaves in its folder, so that other commands find it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Folder of a stack, below where `mutt up` was called.
pub(crate) const FOLDER: &str = ".mutt";
const DESCRIPTION: &str = "stack.json";
const LOCK: &str = "lock";

/// Addresses and keys of a stack. The file that holds it can be read by its owner only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stack {
    /// Process id of `mutt up`.
    pub(crate) pid: u32,
    /// `POST` events here.
    pub(crate) ingest_url: String,
    /// Key for it.
    pub(crate) ingest_api_key: String,
    /// host:port for syslog, UDP and TCP.
    pub(crate) syslog: String,
    /// The console.
    pub(crate) web_url: String,
    /// Admin key of the console's API.
    pub(crate) web_api_key: String,
    /// The Moogsoft stand-in.
    pub(crate) moog_url: String,
    /// Redis, with its password.
    pub(crate) redis_url: String,
    /// PostgreSQL, with its password.
    pub(crate) database_url: String,
    /// Vault, when the stack has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vault_url: Option<String>,
    /// How long each service took from its start to ready, in milliseconds.
    #[serde(default)]
    pub(crate) ready_ms: BTreeMap<String, u64>,
    /// Metrics of each service: name and address.
    pub(crate) metrics: Vec<(String, String)>,
}

impl Stack {
    /// The stack that runs in this folder or one above it, if there is one.
    pub(crate) fn running_here() -> Option<Self> {
        let here = std::env::current_dir().ok()?;
        let folder = here.ancestors().map(|above| above.join(FOLDER)).find(|folder| folder.is_dir())?;
        if FolderLock::is_free(&folder) {
            return None;
        }
        Self::read(&folder)
    }

    /// What the folder's description says, whether its stack runs or not.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(DESCRIPTION)).ok()?).ok()
    }

    /// Leaves the description in the folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(DESCRIPTION);
        write_private(&path, &serde_json::to_vec_pretty(self)?)
    }

    /// Takes the description away again.
    pub(crate) fn forget(folder: &Path) {
        // Nobody trusts it without the lock, so one that stays behind does no harm.
        let (Ok(()) | Err(_)) = fs::remove_file(folder.join(DESCRIPTION));
    }
}

/// Held by the one `mutt up` of a folder; the kernel gives it back however that process ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock; `None` when another process holds it.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(crate) fn take(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join(LOCK);
        let file = Self::open(&path).with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("locking {}", path.display()))
            }
        }
    }

    fn is_free(folder: &Path) -> bool {
        // Dropping the file gives the lock back at once.
        File::open(folder.join(LOCK)).map_or(true, |file| file.try_lock_shared().is_ok())
    }

    fn open(path: &PathBuf) -> std::io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path)
    }
}

/// Writes a file that only its owner can read, in one step: a reader sees the old content or the new.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        // A left-over of a crash may have other rights.
        let (Ok(()) | Err(_)) = fs::remove_file(&draft);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn stack() -> Stack {
        Stack {
            pid: 1,
            ingest_url: "http://127.0.0.1:8080/ingest".into(),
            ingest_api_key: "k".into(),
            syslog: "127.0.0.1:5514".into(),
            web_url: "http://127.0.0.1:8090".into(),
            web_api_key: "w".into(),
            moog_url: "http://127.0.0.1:18083".into(),
            redis_url: "redis://127.0.0.1:1".into(),
            database_url: "postgres://127.0.0.1:2/mutt".into(),
            vault_url: None,
            ready_ms: BTreeMap::from([("mutt-alerter".to_owned(), 310)]),
            metrics: vec![("alerter".into(), "http://127.0.0.1:8081/metrics".into())],
        }
    }

    #[test]
    fn only_one_process_at_a_time_holds_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(FolderLock::is_free(folder.path()));
        let held = FolderLock::take(folder.path()).unwrap();
        assert!(held.is_some());
        assert!(!FolderLock::is_free(folder.path()));
        assert!(FolderLock::take(folder.path()).unwrap().is_none());
        drop(held);
        assert!(FolderLock::is_free(folder.path()));
    }

    #[test]
    fn a_description_is_private_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        stack().write(folder.path()).unwrap();
        assert_eq!(Stack::read(folder.path()), Some(stack()));
        let mode = fs::metadata(folder.path().join(DESCRIPTION)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Stack::forget(folder.path());
        assert_eq!(Stack::read(folder.path()), None);
    }
}
