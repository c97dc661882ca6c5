//! Why secrets could not be had. No variant carries a value.

use std::path::PathBuf;
use std::time::Duration;

use crate::runtime::StartError;

/// Why secrets could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The source answers, but lacks what is needed.
    #[error("no value for the secret {keys}; looked in {looked_in}")]
    Missing {
        /// The missing names, with their legacy names.
        keys: String,
        /// Which file, or which Vault, mount and path.
        looked_in: String,
    },
    /// The secrets file cannot be read.
    #[error("reading the secrets file {}", path.display())]
    FileUnreadable {
        /// `SECRETS_FILE`.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The secrets file is open to others than its owner.
    #[error("the secrets file {0} has mode {mode:04o}, so others can read it; run: chmod 600 {0}", path.display())]
    FileExposed {
        /// `SECRETS_FILE`.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A line of the secrets file cannot be understood.
    #[error("the secrets file {}, line {line}: {problem}", path.display())]
    FileMalformed {
        /// `SECRETS_FILE`.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong; never the line itself.
        problem: &'static str,
    },
    /// The file with the `AppRole` secret id cannot be used.
    #[error("{problem} in VAULT_SECRET_ID_FILE {}", path.display())]
    SecretId {
        /// `VAULT_SECRET_ID_FILE`.
        path: PathBuf,
        /// `nothing` or `no readable text`.
        problem: &'static str,
        /// The operating system's reason, if it has one.
        #[source]
        source: Option<std::io::Error>,
    },
    /// Vault does not answer, or cannot serve right now.
    #[error("Vault at {address} cannot {operation} now")]
    VaultAway {
        /// `VAULT_ADDR`.
        address: String,
        /// What was asked.
        operation: VaultOperation,
        /// What it answered, if anything.
        #[source]
        source: VaultFailure,
    },
    /// Vault answers and says no.
    #[error("Vault at {address} refuses to {operation} {subject}")]
    VaultRefused {
        /// `VAULT_ADDR`.
        address: String,
        /// What was asked.
        operation: VaultOperation,
        /// For whom, or what: role id, token, or mount and path.
        subject: String,
        /// What it answered.
        #[source]
        source: VaultFailure,
    },
    /// The signal to stop came while Vault was waited for.
    #[error("stopped while waiting for Vault")]
    Stopped,
    /// The source stayed away for as long as a start may wait.
    #[error("secrets could not be read within {waited:?}")]
    GaveUp {
        /// How long was waited.
        waited: Duration,
        /// The last failure.
        #[source]
        source: Box<SecretsError>,
    },
}

impl SecretsError {
    /// Whether the same call can succeed later with nothing changed here.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::VaultAway { .. } | Self::GaveUp { .. } => true,
            Self::Missing { .. }
            | Self::FileUnreadable { .. }
            | Self::FileExposed { .. }
            | Self::FileMalformed { .. }
            | Self::SecretId { .. }
            | Self::VaultRefused { .. }
            | Self::Stopped => false,
        }
    }
}

/// Exit code 69 for a Vault that is away, 78 for what only a person can change.
impl From<SecretsError> for StartError {
    fn from(error: SecretsError) -> Self {
        match error {
            SecretsError::Stopped => Self::Stopped { dependency: "Vault" },
            away if away.is_transient() => Self::unavailable("Vault", away),
            refused => Self::Misconfigured {
                what: "the secrets cannot be used".to_owned(),
                source: Some(refused.into()),
            },
        }
    }
}

/// What was asked of Vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultOperation {
    /// `AppRole` login.
    LogIn,
    /// Renewal of the own token.
    Renew,
    /// Reading the secrets.
    Read,
}

impl VaultOperation {
    /// For metric labels.
    #[must_use]
    pub fn as_label(self) -> &'static str {
        match self {
            Self::LogIn => "login",
            Self::Renew => "renew",
            Self::Read => "read",
        }
    }
}

impl std::fmt::Display for VaultOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LogIn => "log in",
            Self::Renew => "renew the token of",
            Self::Read => "read",
        })
    }
}

/// What Vault, or the way to it, said.
///
/// Made of texts only: the client library's own error can hold a whole answer, secrets included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultFailure {
    /// An HTTP status with Vault's own words.
    #[error("status {code}{}{words}", if words.is_empty() { "" } else { ": " })]
    Status {
        /// The HTTP status.
        code: u16,
        /// Its `errors`, joined; may be empty.
        words: String,
    },
    /// No answer: refused, timed out, or not trusted.
    #[error("no answer: {0}")]
    Transport(String),
    /// An answer that makes no sense.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

impl VaultFailure {
    /// Whether the same request can succeed later with nothing changed here.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 429 | 472 | 473 | 500..),
            Self::Transport(_) | Self::Unexpected(_) => true,
        }
    }

    /// Whether a refused renewal says nothing about the token, which is then kept: rate limit, standby, sealed, away.
    ///
    /// Any other refusal means that only a new login helps. A 500 is among them: so may a token at its maximal life be
    /// refused.
    #[must_use]
    pub fn keeps_token(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 429 | 472 | 473 | 502..=504),
            Self::Transport(_) => true,
            Self::Unexpected(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> VaultFailure {
        VaultFailure::Status { code, words: String::new() }
    }

    #[test]
    fn only_answers_about_vault_itself_keep_the_token() {
        for code in [429, 472, 473, 502, 503, 504] {
            assert!(status(code).keeps_token(), "{code}");
        }
        for code in [400, 403, 404, 500] {
            assert!(!status(code).keeps_token(), "{code}");
        }
        assert!(VaultFailure::Transport("timed out".to_owned()).keeps_token());
        assert!(!VaultFailure::Unexpected("not JSON".to_owned()).keeps_token());
    }

    #[test]
    fn a_start_waits_for_a_server_in_trouble_and_not_for_a_refusal() {
        assert!(status(500).is_transient() && status(503).is_transient() && status(429).is_transient());
        assert!(!status(400).is_transient() && !status(403).is_transient() && !status(404).is_transient());
    }

    #[test]
    fn a_failure_reads_as_a_sentence() {
        let failure = VaultFailure::Status { code: 403, words: "permission denied".to_owned() };
        assert_eq!(failure.to_string(), "status 403: permission denied");
        assert_eq!(status(503).to_string(), "status 503");
    }
}
