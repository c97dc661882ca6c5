//! A private Vault: OpenBao, the free server with Vault's API.
//!
//! Debian does not carry it. `deploy/test-tools/openbao.txt` pins the very file that is used; `make test` and
//! `mutt up --vault` install it below `.tools/`. The server is initialised with one key, unsealed, and given the mount
//! `secret` (KV version 2), `AppRole` login and the policy `mutt`, as a production server would have them.

mod api;
mod install;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{DataDir, Launch, ServerProcess, write_private};
use crate::{Identity, ServerError, free_port, install_tls_provider};

pub use api::{AppRole, AppRoleOptions};

const SERVER: &str = "openbao";
/// Starting takes 0.3 s on a quiet machine.
const READY_LIMIT: Duration = Duration::from_secs(30);
const PORT_TRIES: usize = 5;
const POLL: Duration = Duration::from_millis(10);
/// What a MUTT service may do: read its secrets, look after its own token, nothing else.
const POLICY: &str = r#"path "secret/data/mutt/*" { capabilities = ["read"] }
path "secret/metadata/mutt/*" { capabilities = ["list"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }"#;

/// Options of a [`VaultServer`]; the defaults suit a test.
#[derive(Debug, Default)]
pub struct VaultBuilder {
    data_dir: Option<PathBuf>,
    log_file: Option<PathBuf>,
    port: Option<u16>,
    tls: Option<Identity>,
    in_memory: bool,
}

impl VaultBuilder {
    /// Keeps nothing on disk: ready in 0.3 s instead of 2 s, but a kill forgets everything, keys included.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Keeps data, unseal key and root token in `dir` across runs; otherwise they go with the server.
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Appends the server's log to `file`; otherwise it is `server.log` in the data directory.
    #[must_use]
    pub fn log_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.log_file = Some(file.into());
        self
    }

    /// Listens on this port; otherwise on a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Listens with TLS, as `identity`.
    #[must_use]
    pub fn tls(mut self, identity: Identity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// Starts the server, initialises it when its data is new, and unseals it.
    ///
    /// # Errors
    /// When OpenBao is missing, the directory is in use, or it does not come up; the message has its log.
    pub async fn start(self) -> Result<VaultServer, ServerError> {
        install_tls_provider();
        let program = install::find()?;
        let dir = DataDir::open(SERVER, self.data_dir.clone())?;
        let log_file = self.log_file.clone().unwrap_or_else(|| dir.path().join("server.log"));
        let http = api::client(self.tls.as_ref())?;
        let keys = Keys { unseal: String::new(), root_token: String::new() };
        let mut server =
            VaultServer { process: None, program, port: 0, dir, log_file, http, keys, options: self };
        let mut tries_left = if server.options.port.is_some() { 1 } else { PORT_TRIES };
        loop {
            tries_left -= 1;
            server.port = server.options.port.unwrap_or_else(free_port);
            match server.launch().await {
                Err(error) if error.is_port_taken() && tries_left > 0 => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(server),
            }
        }
    }

    /// Starts it for a test, or returns `None` with a notice when OpenBao is not installed.
    ///
    /// # Panics
    /// When it is installed but does not start, and when it is missing although the environment has `CI`: a gate must
    /// not pass because a test was skipped.
    pub async fn start_or_skip(self) -> Option<VaultServer> {
        match self.start().await {
            Ok(server) => Some(server),
            Err(error @ ServerError::NotInstalled { .. }) => {
                assert!(std::env::var_os("CI").is_none(), "{error}");
                install::notice(&error);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A private Vault server; dropping it ends it.
#[derive(Debug)]
pub struct VaultServer {
    // First, so that the server is gone before its directory is removed.
    process: Option<ServerProcess>,
    program: PathBuf,
    port: u16,
    dir: DataDir,
    log_file: PathBuf,
    http: reqwest::Client,
    keys: Keys,
    options: VaultBuilder,
}

/// What `sys/init` hands out once.
struct Keys {
    unseal: String,
    root_token: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl VaultServer {
    /// Starts one for a test, in memory, or returns `None` with a notice when OpenBao is not installed.
    ///
    /// # Panics
    /// As [`VaultBuilder::start_or_skip`].
    pub async fn start() -> Option<Self> {
        Self::builder().in_memory().start_or_skip().await
    }

    /// Options to start one with.
    #[must_use]
    pub fn builder() -> VaultBuilder {
        VaultBuilder::default()
    }

    /// Its address, as `VAULT_ADDR` wants it.
    #[must_use]
    pub fn address(&self) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The loopback port it listens on; stays the same over a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The token that may do everything.
    #[must_use]
    pub fn root_token(&self) -> &str {
        &self.keys.root_token
    }

    /// Where it keeps its data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends the server as a crash would (SIGKILL); its data stays.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again on the same port and data and unseals it, killing it first when it still runs.
    ///
    /// # Panics
    /// When it does not come up again.
    pub async fn restart(&mut self) {
        self.kill();
        if let Err(error) = self.launch().await {
            panic!("{error}");
        }
    }

    /// Freezes the server (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Stops it in an orderly way.
    pub async fn stop(mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    async fn launch(&mut self) -> Result<(), ServerError> {
        let mut command = Command::new(&self.program);
        command.arg("server").arg(format!("-config={}", self.write_config()?.display()));
        let process = ServerProcess::spawn(Launch {
            server: SERVER,
            command,
            log_file: &self.log_file,
            data_dir: self.dir.path(),
            temporary: self.dir.temporary(),
            stop: Signal::TERM,
            abandon: Signal::KILL,
        })?;
        self.process = Some(process);
        let opened = self.open().await;
        if opened.is_err() {
            self.process = None;
        }
        opened
    }

    /// Brings a started server to the state that services find: initialised, unsealed, with mount, login and policy.
    async fn open(&mut self) -> Result<(), ServerError> {
        let status = self.wait_until_it_answers().await?;
        let keys_file = self.dir.path().join("keys.json");
        if status.get("initialized") == Some(&Value::Bool(true)) {
            let text = fs::read_to_string(&keys_file)
                .map_err(ServerError::io(SERVER, format!("reading {}", keys_file.display())))?;
            self.keys = Keys::from_json(&text)?;
            return self.unseal().await;
        }
        let request = json!({"secret_shares": 1, "secret_threshold": 1});
        let made = self.call("PUT", "sys/init", Some(request)).await?;
        let text = json!({"unseal": made["keys_base64"][0], "root_token": made["root_token"]}).to_string();
        write_private(SERVER, &keys_file, &text)?;
        self.keys = Keys::from_json(&text)?;
        self.unseal().await?;
        self.call("POST", "sys/mounts/secret", Some(json!({"type": "kv", "options": {"version": "2"}})))
            .await?;
        self.call("POST", "sys/auth/approle", Some(json!({"type": "approle"}))).await?;
        self.call("PUT", "sys/policies/acl/mutt", Some(json!({"policy": POLICY}))).await?;
        self.wait_for_key_value_store().await
    }

    async fn wait_until_it_answers(&mut self) -> Result<Value, ServerError> {
        let started = Instant::now();
        loop {
            if let Ok(status) = self.call("GET", "sys/seal-status", None).await {
                return Ok(status);
            }
            if let Some(process) = &mut self.process {
                process.check_alive()?;
                if started.elapsed() > READY_LIMIT {
                    return Err(process.not_ready(READY_LIMIT));
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The upgrade to version 2 runs in the background: for a moment the new mount refuses.
    async fn wait_for_key_value_store(&self) -> Result<(), ServerError> {
        let started = Instant::now();
        loop {
            match self.call("GET", "secret/config", None).await {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > READY_LIMIT => return Err(error),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    fn write_config(&self) -> Result<PathBuf, ServerError> {
        let dir = self.dir.path();
        let storage = if self.options.in_memory {
            "storage \"inmem\" {\n}".to_owned()
        } else {
            // This build knows no other storage on disk; the multiplier makes it elect itself in 2 s instead of 8.
            let data = dir.join("data");
            fs::create_dir_all(&data)
                .map_err(ServerError::io(SERVER, format!("creating {}", data.display())))?;
            format!(
                "storage \"raft\" {{\n path = \"{}\"\n node_id = \"mutt\"\n performance_multiplier = 1\n}}",
                data.display()
            )
        };
        let listener = match &self.options.tls {
            None => "tls_disable = true".to_owned(),
            Some(identity) => {
                let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
                write_private(SERVER, &certificate, &identity.certificate_pem)?;
                write_private(SERVER, &key, &identity.key_pem)?;
                format!(
                    "tls_cert_file = \"{}\"\n tls_key_file = \"{}\"",
                    certificate.display(),
                    key.display()
                )
            }
        };
        let text = format!(
            "ui = false\n{storage}\nlistener \"tcp\" {{\n address = \"127.0.0.1:{}\"\n {listener}\n}}\n\
             api_addr = \"{}\"\ncluster_addr = \"https://127.0.0.1:{}\"\n",
            self.port,
            self.address(),
            free_port(),
        );
        let file = dir.join("openbao.hcl");
        write_private(SERVER, &file, &text)?;
        Ok(file)
    }
}

impl Keys {
    fn from_json(text: &str) -> Result<Self, ServerError> {
        let field = |name: &str| {
            serde_json::from_str::<Value>(text)
                .ok()
                .and_then(|keys| keys.get(name)?.as_str().map(str::to_owned))
                .ok_or_else(|| ServerError::Setup {
                    server: SERVER,
                    action: "reading its unseal key and root token".to_owned(),
                    detail: format!("no `{name}`"),
                })
        };
        Ok(Self { unseal: field("unseal")?, root_token: field("root_token")? })
    }
}
