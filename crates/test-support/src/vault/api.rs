//! What a test or `mutt up` asks of the private Vault, with its root token.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{POLL, READY_LIMIT, SERVER, VaultServer};
use crate::{Identity, ServerError};

/// What a service logs in with.
#[derive(Clone)]
pub struct AppRole {
    /// Public half.
    pub role_id: String,
    /// Secret half; a service reads it from a file.
    pub secret_id: String,
}

impl std::fmt::Debug for AppRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppRole").field("role_id", &self.role_id).finish_non_exhaustive()
    }
}

/// How long the tokens of a role live.
#[derive(Debug, Clone)]
pub struct AppRoleOptions {
    /// Life of a token unless it is renewed, in Vault's notation (`24h`, `4s`).
    pub token_ttl: String,
    /// After this no renewal helps.
    pub token_max_ttl: String,
    /// `service`, or `batch`: a token that cannot be renewed at all.
    pub token_type: String,
    /// Not empty: the token may be renewed for ever, for this long each time.
    pub token_period: String,
    /// What its tokens may do.
    pub policies: Vec<String>,
}

impl Default for AppRoleOptions {
    fn default() -> Self {
        Self {
            token_ttl: "24h".to_owned(),
            token_max_ttl: "72h".to_owned(),
            token_type: "service".to_owned(),
            token_period: String::new(),
            policies: vec!["mutt".to_owned()],
        }
    }
}

pub(super) fn client(tls: Option<&Identity>) -> Result<reqwest::Client, ServerError> {
    let failed = |error: reqwest::Error| ServerError::Setup {
        server: SERVER,
        action: "building its HTTP client".to_owned(),
        detail: error.to_string(),
    };
    let mut builder = reqwest::Client::builder().timeout(Duration::from_secs(10));
    if let Some(identity) = tls {
        let root = reqwest::Certificate::from_pem(identity.authority_pem.as_bytes()).map_err(failed)?;
        builder = builder.tls_certs_only([root]);
    }
    builder.build().map_err(failed)
}

impl VaultServer {
    /// Calls `/v1/<path>` as root and returns the answer, `null` when it has no body.
    ///
    /// # Errors
    /// When the server refuses or does not answer; the message has its words.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, ServerError> {
        let failed = |detail: String| ServerError::Setup {
            server: SERVER,
            action: format!("{method} /v1/{path}"),
            detail,
        };
        let verb = Method::from_bytes(method.as_bytes()).map_err(|error| failed(error.to_string()))?;
        let url = format!("{}/v1/{path}", self.address());
        let mut request = self.http.request(verb, url);
        if !self.keys.root_token.is_empty() {
            request = request.header("X-Vault-Token", &self.keys.root_token);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| failed(error.to_string()))?;
        if !status.is_success() {
            return Err(failed(format!("{status} {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Writes a new version of the secret at `path` of the mount `secret`, replacing all its keys.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn write_secret(&self, path: &str, values: &[(&str, &str)]) -> Result<(), ServerError> {
        let data: serde_json::Map<String, Value> =
            values.iter().map(|&(key, value)| (key.to_owned(), Value::from(value))).collect();
        self.call("POST", &format!("secret/data/{path}"), Some(json!({"data": data}))).await.map(drop)
    }

    /// Creates or changes the role `name` and returns a fresh login for it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn app_role(&self, name: &str, options: &AppRoleOptions) -> Result<AppRole, ServerError> {
        let mut role = json!({
            "token_policies": options.policies,
            "token_type": options.token_type,
            "token_ttl": options.token_ttl,
            "token_max_ttl": options.token_max_ttl,
        });
        if !options.token_period.is_empty() {
            role["token_period"] = Value::from(options.token_period.as_str());
        }
        let path = format!("auth/approle/role/{name}");
        self.call("POST", &path, Some(role)).await?;
        let id = self.call("GET", &format!("{path}/role-id"), None).await?;
        let secret = self.call("POST", &format!("{path}/secret-id"), Some(json!({}))).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(AppRole { role_id: text(&id["data"]["role_id"]), secret_id: text(&secret["data"]["secret_id"]) })
    }

    /// Revokes every token that came from an `AppRole` login; returns how many there were.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn revoke_logins(&self) -> Result<usize, ServerError> {
        let before = self.logins().await?;
        self.call("PUT", "sys/leases/revoke-prefix/auth/approle", None).await?;
        // The server answers before it is done.
        let started = Instant::now();
        while !self.logins().await?.is_empty() && started.elapsed() < READY_LIMIT {
            tokio::time::sleep(POLL).await;
        }
        Ok(before.len())
    }

    /// Accessors of the tokens that came from an `AppRole` login.
    async fn logins(&self) -> Result<Vec<String>, ServerError> {
        let listed = self.call("LIST", "auth/token/accessors", None).await?;
        let mut found = Vec::new();
        for accessor in listed["data"]["keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            // One that expired since it was listed is gone, and no longer of interest.
            let request = json!({"accessor": accessor});
            if let Ok(token) = self.call("POST", "auth/token/lookup-accessor", Some(request)).await
                && token["data"]["path"] == "auth/approle/login"
            {
                found.push(accessor.to_owned());
            }
        }
        Ok(found)
    }

    /// Seals the server: it answers 503 to everything until it is unsealed.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn seal(&self) -> Result<(), ServerError> {
        self.call("PUT", "sys/seal", None).await.map(drop)
    }

    /// Unseals the server and waits until it is active.
    ///
    /// # Errors
    /// When the server refuses, or does not become active.
    pub async fn unseal(&self) -> Result<(), ServerError> {
        self.call("PUT", "sys/unseal", Some(json!({"key": self.keys.unseal}))).await?;
        let started = Instant::now();
        loop {
            // 200 only from an active, unsealed server.
            match self.call("GET", "sys/health", None).await {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > READY_LIMIT => return Err(error),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }
}
