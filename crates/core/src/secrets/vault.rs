//! Vault: `AppRole` login, reading the secrets, keeping the token.
//!
//! Every call runs without a log subscriber: the client library logs each refusal as an error of its own, and at trace
//! level more than we would vouch for.

mod answer;
mod schedule;

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::Instant;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;
use vaultrs::auth::approle;
use vaultrs::client::{Client as _, VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::{kv1, kv2, token};

use self::answer::failure_of;
use self::schedule::renew_after;
use super::metrics::SecretsMetrics;
use super::values::Values;
use super::{SecretsError, VaultFailure, VaultOperation};
use crate::settings::vault::VaultSettings;

/// A login of this process at Vault, renewed or replaced as needed.
pub(super) struct Vault {
    settings: VaultSettings,
    metrics: SecretsMetrics,
    session: Option<Session>,
}

struct Session {
    client: VaultClient,
    /// What a login grants: a renewal that grants less is capped by the role's maximum.
    granted: Duration,
    /// When to renew; `None` for a token without an end.
    renew_at: Option<Instant>,
    renewable: bool,
}

impl Vault {
    pub(super) fn new(settings: VaultSettings, metrics: SecretsMetrics) -> Self {
        // The client needs it even for `http://`; an error means that there is one already.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self { settings, metrics, session: None }
    }

    /// When the token wants attention; now when there is none.
    pub(super) fn renewal_due(&self) -> Option<Instant> {
        self.session.as_ref().map_or_else(|| Some(Instant::now()), |session| session.renew_at)
    }

    /// Reads all secrets, logging in first when there is no token, and once more when the token is refused.
    ///
    /// # Errors
    /// [`SecretsError::VaultAway`], [`SecretsError::VaultRefused`] or [`SecretsError::SecretId`].
    pub(super) async fn read(&mut self) -> Result<Values, SecretsError> {
        let fresh = self.session.is_none();
        if fresh {
            self.log_in().await?;
        }
        match self.try_read().await {
            // A revoked or expired token; from a fresh one it means that the policy forbids the path.
            Err(VaultFailure::Status { code: 403, .. }) if !fresh => {
                self.log_in().await?;
                self.try_read().await
            }
            other => other,
        }
        .map_err(|failure| {
            self.metrics.failed(VaultOperation::Read);
            self.error(VaultOperation::Read, failure)
        })
    }

    /// Renews the token; logs in again when it is capped, cannot be renewed, or was refused for good.
    ///
    /// # Errors
    /// [`SecretsError::VaultAway`] with the token kept, or what a login failed with.
    pub(super) async fn keep_alive(&mut self) -> Result<(), SecretsError> {
        let Some(session) = self.session.as_mut().filter(|session| session.renewable) else {
            return self.log_in().await;
        };
        let renewed = token::renew_self(&session.client, None).with_subscriber(NoSubscriber::default()).await;
        match renewed.map_err(|error| failure_of(&error)) {
            Ok(auth) => {
                let lease = Duration::from_secs(auth.lease_duration);
                if lease < session.granted {
                    tracing::debug!("the Vault token nears its maximal life");
                    return self.log_in().await;
                }
                let renew_after = renew_after(lease, self.settings.renew_threshold, rand::random());
                session.renew_at = renew_after.map(|wait| Instant::now() + wait);
                session.renewable = auth.renewable;
                self.metrics.token_granted(renew_after.map(|_| lease));
                tracing::debug!(lease_secs = lease.as_secs(), "Vault token renewed");
                Ok(())
            }
            Err(failure) => {
                self.metrics.failed(VaultOperation::Renew);
                if failure.keeps_token() {
                    return Err(self.error(VaultOperation::Renew, failure));
                }
                tracing::info!(reason = %failure, "the Vault token can no longer be renewed; logging in again");
                self.log_in().await
            }
        }
    }

    /// Logs in with the secret id as the file has it now, and trusts the CA file as it is now.
    async fn log_in(&mut self) -> Result<(), SecretsError> {
        // The old token stays until there is a new one: a failed login must not make things worse.
        let login = async {
            let secret_id = self.read_secret_id()?;
            let mut client = self.client()?;
            let auth = approle::login(
                &client,
                &self.settings.auth_mount,
                &self.settings.role_id,
                secret_id.expose_secret(),
            )
            .with_subscriber(NoSubscriber::default())
            .await
            .map_err(|error| self.error(VaultOperation::LogIn, failure_of(&error)))?;
            client.set_token(&auth.client_token);
            Ok((client, Duration::from_secs(auth.lease_duration), auth.renewable))
        };
        let (client, granted, renewable) =
            login.await.inspect_err(|_: &SecretsError| self.metrics.failed(VaultOperation::LogIn))?;
        let wait = renew_after(granted, self.settings.renew_threshold, rand::random());
        self.metrics.token_granted(wait.map(|_| granted));
        tracing::info!(
            address = self.settings.address,
            lease_secs = granted.as_secs(),
            renewable,
            "logged in to Vault"
        );
        self.session =
            Some(Session { client, granted, renew_at: wait.map(|wait| Instant::now() + wait), renewable });
        Ok(())
    }

    async fn try_read(&self) -> Result<Values, VaultFailure> {
        let Some(session) = &self.session else {
            return Err(VaultFailure::Unexpected("there is no session".to_owned()));
        };
        let VaultSettings { mount, path, .. } = &self.settings;
        let read: Result<HashMap<String, Value>, ClientError> = if self.settings.kv_version == 1 {
            kv1::get(&session.client, mount, path).with_subscriber(NoSubscriber::default()).await
        } else {
            kv2::read(&session.client, mount, path).with_subscriber(NoSubscriber::default()).await
        };
        let entries = read.map_err(|error| failure_of(&error))?;
        let entries = entries.into_iter().filter_map(|(name, value)| Some((name, text_of(value)?)));
        Ok(Values::new(format!("Vault at {}, {}", self.settings.address, self.place()), entries))
    }

    fn read_secret_id(&self) -> Result<SecretString, SecretsError> {
        let path = &self.settings.secret_id_file;
        let unusable = |problem, source| SecretsError::SecretId { path: path.clone(), problem, source };
        let text = fs::read_to_string(path).map_err(|error| unusable("no readable text", Some(error)))?;
        let secret_id = text.trim();
        if secret_id.is_empty() { Err(unusable("nothing", None)) } else { Ok(SecretString::from(secret_id)) }
    }

    fn client(&self) -> Result<VaultClient, SecretsError> {
        let unusable = |error: &dyn std::fmt::Display| {
            self.error(VaultOperation::LogIn, VaultFailure::Transport(error.to_string()))
        };
        // The setter below panics on what it cannot parse.
        self.settings.address.parse::<http::Uri>().map_err(|error| unusable(&error))?;
        let ca_files = self.settings.ca_file.iter().map(|path| path.display().to_string()).collect();
        let settings = VaultClientSettingsBuilder::default()
            .address(&self.settings.address)
            .ca_certs(ca_files)
            .identity(None)
            .token("")
            .verify(true)
            .namespace(self.settings.namespace.clone())
            .timeout(Some(self.settings.timeout))
            .build()
            .map_err(|error| unusable(&error))?;
        tracing::subscriber::with_default(NoSubscriber::default(), || VaultClient::new(settings))
            .map_err(|error| self.error(VaultOperation::LogIn, failure_of(&error)))
    }

    fn error(&self, operation: VaultOperation, source: VaultFailure) -> SecretsError {
        let address = self.settings.address.clone();
        if source.is_transient() {
            return SecretsError::VaultAway { address, operation, source };
        }
        let subject = match operation {
            VaultOperation::LogIn | VaultOperation::Renew => {
                format!("with role id {}", self.settings.role_id)
            }
            VaultOperation::Read => self.place(),
        };
        SecretsError::VaultRefused { address, operation, subject, source }
    }

    fn place(&self) -> String {
        let VaultSettings { mount, path, kv_version, .. } = &self.settings;
        format!("mount `{mount}`, path `{path}` (KV version {kv_version})")
    }
}

/// Vault stores any JSON; a number or a truth value is taken as it is written, anything deeper is no secret of ours.
fn text_of(value: Value) -> Option<SecretString> {
    match value {
        Value::String(text) => Some(SecretString::from(text)),
        Value::Number(number) => Some(SecretString::from(number.to_string())),
        Value::Bool(truth) => Some(SecretString::from(truth.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
