//! A directory to keep, or one that goes with its server.

use std::fs;
use std::path::{Path, PathBuf};

use crate::ServerError;

/// Where a server keeps its data: a directory to keep, or one that goes with the server.
#[derive(Debug)]
pub(crate) enum DataDir {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl DataDir {
    pub(crate) fn open(server: &'static str, kept: Option<PathBuf>) -> Result<Self, ServerError> {
        match kept {
            Some(dir) => fs::create_dir_all(&dir)
                .and_then(|()| dir.canonicalize())
                .map(Self::Kept)
                .map_err(ServerError::io(server, format!("creating {}", dir.display()))),
            None => tempfile::Builder::new()
                .prefix(&format!("mutt-{server}-"))
                .tempdir()
                .map(Self::Temporary)
                .map_err(ServerError::io(server, "creating a temporary directory")),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }

    pub(crate) fn temporary(&self) -> Option<&Path> {
        match self {
            Self::Kept(_) => None,
            Self::Temporary(dir) => Some(dir.path()),
        }
    }
}
