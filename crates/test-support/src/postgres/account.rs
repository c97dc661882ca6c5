//! Which programs to run, as whom, and where that account can keep its data.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::SERVER;
use crate::ServerError;
use crate::process::find_program;

/// Where data goes when root's chosen directory is out of reach for the `postgres` user.
const FALLBACK_PARENT: &str = "/var/lib/mutt";

/// An account of this machine.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Debian keeps the server programs out of `PATH`, in one directory per version; the newest is taken.
pub(super) fn find_binaries() -> Result<PathBuf, ServerError> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, bin)| bin);
    newest
        .or_else(|| find_program("initdb", &[]).and_then(|initdb| initdb.parent().map(Path::to_owned)))
        .ok_or_else(|| ServerError::NotInstalled {
            program: "postgres",
            remedy: "install the Debian package postgresql".to_owned(),
        })
}

/// The account to run as: none unless we are root.
pub(super) fn run_as() -> Result<Option<Account>, ServerError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts =
        fs::read_to_string("/etc/passwd").map_err(ServerError::io(SERVER, "reading /etc/passwd"))?;
    let account = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (name == "postgres").then_some(())?;
        Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    });
    account.map(Some).ok_or_else(|| ServerError::NotInstalled {
        program: "the account `postgres`, which PostgreSQL needs when started by root,",
        remedy: "install the Debian package postgresql".to_owned(),
    })
}

/// `dir` itself, or a directory of its own below [`FALLBACK_PARENT`] when `account` cannot get to it.
pub(super) fn reachable(dir: PathBuf, account: Option<&Account>) -> Result<PathBuf, ServerError> {
    let Some(account) = account else { return Ok(dir) };
    fs::create_dir_all(&dir).map_err(ServerError::io(SERVER, format!("creating {}", dir.display())))?;
    let dir = dir.canonicalize().map_err(ServerError::io(SERVER, format!("resolving {}", dir.display())))?;
    let passes = |parent: &Path| {
        fs::metadata(parent).is_ok_and(|about| {
            let shift = if about.uid() == account.uid {
                6
            } else if about.gid() == account.gid {
                3
            } else {
                0
            };
            (about.mode() >> shift) & 1 == 1
        })
    };
    if dir.ancestors().skip(1).all(passes) {
        return Ok(dir);
    }
    // Stable over runs of one build of this program; the pointer file keeps it stable over builds as well.
    let pointer = dir.join("moved-to");
    if let Ok(moved) = fs::read_to_string(&pointer) {
        return Ok(PathBuf::from(moved.trim()));
    }
    let mut hasher = DefaultHasher::new();
    dir.hash(&mut hasher);
    let moved = Path::new(FALLBACK_PARENT).join(format!("postgres-{:016x}", hasher.finish()));
    fs::create_dir_all(&moved).map_err(ServerError::io(SERVER, format!("creating {}", moved.display())))?;
    fs::write(&pointer, format!("{}\n", moved.display()))
        .map_err(ServerError::io(SERVER, format!("writing {}", pointer.display())))?;
    Ok(moved)
}
