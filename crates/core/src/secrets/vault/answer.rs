//! From the client library's errors to ours.

use rustify::errors::ClientError as RestError;
use vaultrs::error::ClientError;

use crate::secrets::VaultFailure;

/// Keeps what helps and drops what may hold an answer's body.
pub(super) fn failure_of(error: &ClientError) -> VaultFailure {
    match error {
        ClientError::APIError { code, errors } => status(*code, errors.join("; ")),
        // A body that is not Vault's error format: a soft-deleted secret, or a proxy's page.
        ClientError::RestClientError { source: RestError::ServerResponseError { code, .. } } => {
            status(*code, String::new())
        }
        ClientError::RestClientError {
            source: RestError::RequestError { source, .. } | RestError::ResponseError { source },
        } => VaultFailure::Transport(innermost(source.as_ref())),
        ClientError::FileReadError { source, path } => {
            VaultFailure::Transport(format!("the CA file {path}: {source}"))
        }
        ClientError::ParseCertificateError { path, .. } => {
            VaultFailure::Transport(format!("the CA file {path} holds no certificate"))
        }
        ClientError::RestClientBuildError { source } => VaultFailure::Transport(innermost(source)),
        // Display of these has no content of an answer; their sources may.
        other => VaultFailure::Unexpected(other.to_string()),
    }
}

fn status(code: u16, words: String) -> VaultFailure {
    VaultFailure::Status { code, words }
}

/// The last cause is the telling one: "connection refused", not "error sending request".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vaults_words_are_kept_and_bodies_are_not() {
        let refused =
            ClientError::APIError { code: 400, errors: vec!["invalid role or secret ID".to_owned()] };
        assert_eq!(failure_of(&refused).to_string(), "status 400: invalid role or secret ID");
        let body = Some(r#"{"data":{"DB_PASS":"s3cret"}}"#.to_owned());
        let deleted = ClientError::from(RestError::ServerResponseError { code: 404, content: body.clone() });
        assert_eq!(failure_of(&deleted), status(404, String::new()));
        let unparsed = ClientError::from(RestError::ResponseParseError {
            source: anyhow::anyhow!("expected value near s3cret"),
            content: body,
        });
        assert!(!format!("{:?}", failure_of(&unparsed)).contains("s3cret"));
    }
}
