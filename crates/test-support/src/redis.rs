//! A private Redis.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{DataDir, Launch, ServerProcess, find_program, write_private};
use crate::{Identity, ServerError, free_port};

const SERVER: &str = "redis";
/// Starting takes about 20 ms; a large append-only file on a busy machine takes longer.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// A port taken between choosing and binding it is rare; five times in a row is something else.
const PORT_TRIES: usize = 5;

/// When Redis forces its append-only file to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppendFsync {
    /// Before it answers: what MUTT ships with.
    #[default]
    Always,
    /// Once a second.
    EverySecond,
    /// When the operating system likes.
    Never,
    /// No append-only file at all: a restart forgets everything.
    Off,
}

impl AppendFsync {
    fn settings(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Always => [("appendonly", "yes"), ("appendfsync", "always")],
            Self::EverySecond => [("appendonly", "yes"), ("appendfsync", "everysec")],
            Self::Never => [("appendonly", "yes"), ("appendfsync", "no")],
            Self::Off => [("appendonly", "no"), ("appendfsync", "no")],
        }
    }
}

/// Options of a [`RedisServer`]; the defaults suit a test.
#[derive(Debug, Default)]
pub struct RedisBuilder {
    data_dir: Option<PathBuf>,
    log_file: Option<PathBuf>,
    port: Option<u16>,
    fsync: AppendFsync,
    password: Option<String>,
    max_memory_bytes: Option<u64>,
    tls: Option<Identity>,
    extra: Vec<(String, String)>,
}

impl RedisBuilder {
    /// Keeps the data in `dir` across runs; otherwise it goes with the server.
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

    /// Chooses how durable an answered write is.
    #[must_use]
    pub fn append_fsync(mut self, fsync: AppendFsync) -> Self {
        self.fsync = fsync;
        self
    }

    /// Asks every client for a password.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Bounds the memory; writes beyond it are refused (`noeviction`).
    #[must_use]
    pub fn max_memory_bytes(mut self, bytes: u64) -> Self {
        self.max_memory_bytes = Some(bytes);
        self
    }

    /// Listens with TLS only, as `identity`.
    #[must_use]
    pub fn tls(mut self, identity: Identity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// Adds any other line of `redis.conf`, after (and so stronger than) the ones above.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// Starts the server and waits until it has loaded its data.
    ///
    /// # Errors
    /// When `redis-server` is missing, the directory is in use, or it does not come up; the message has its log.
    pub async fn start(self) -> Result<RedisServer, ServerError> {
        let program = find_program("redis-server", &[]).ok_or_else(|| ServerError::NotInstalled {
            program: "redis-server",
            remedy: "install the Debian package redis-server".to_owned(),
        })?;
        let dir = DataDir::open(SERVER, self.data_dir.clone())?;
        let log_file = self.log_file.clone().unwrap_or_else(|| dir.path().join("server.log"));
        let mut server = RedisServer { process: None, program, port: 0, dir, log_file, options: self };
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
}

/// A private Redis server; dropping it ends it.
#[derive(Debug)]
pub struct RedisServer {
    // First, so that the server is gone before its directory is removed.
    process: Option<ServerProcess>,
    program: PathBuf,
    port: u16,
    dir: DataDir,
    log_file: PathBuf,
    options: RedisBuilder,
}

impl RedisServer {
    /// Starts one for a test: free port, temporary data, `appendfsync always`, `noeviction`.
    ///
    /// # Panics
    /// When it cannot be started; the message says why.
    pub async fn start() -> Self {
        match Self::builder().start().await {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        }
    }

    /// Options to start one with.
    #[must_use]
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// The loopback port it listens on; stays the same over a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://` or `rediss://` address with the password, if there is one.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "rediss" } else { "redis" };
        let password = self.options.password.as_ref().map_or_else(String::new, |word| format!(":{word}@"));
        format!("{scheme}://{password}127.0.0.1:{}/", self.port)
    }

    /// Where it keeps its data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process id, or `None` while it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// A plain connection for a test to look at the data with.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
        let client = redis::Client::open(self.url()).expect("our own address is well-formed");
        match client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => connection,
            Err(error) => panic!("connecting to Redis on port {}: {error}", self.port),
        }
    }

    /// Ends the server as a crash would (SIGKILL); its data stays.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again on the same port and data, killing it first when it still runs.
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

    /// Stops it in an orderly way: what was written is on disk afterwards.
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
        let mut process = ServerProcess::spawn(Launch {
            server: SERVER,
            command: self.command()?,
            log_file: &self.log_file,
            data_dir: self.dir.path(),
            temporary: self.dir.temporary(),
            stop: Signal::TERM,
            abandon: Signal::KILL,
        })?;
        process.wait_for_log("Ready to accept connections", READY_LIMIT).await?;
        self.process = Some(process);
        Ok(())
    }

    fn command(&self) -> Result<Command, ServerError> {
        let options = &self.options;
        let mut settings: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
        set("bind", "127.0.0.1".to_owned());
        set("dir", self.dir.path().display().to_string());
        set("save", String::new());
        set("daemonize", "no".to_owned());
        set("maxmemory-policy", "noeviction".to_owned());
        for (name, value) in options.fsync.settings() {
            set(name, value.to_owned());
        }
        if let Some(password) = &options.password {
            set("requirepass", password.clone());
        }
        if let Some(bytes) = options.max_memory_bytes {
            set("maxmemory", bytes.to_string());
        }
        match &options.tls {
            None => set("port", self.port.to_string()),
            Some(identity) => {
                set("port", "0".to_owned());
                set("tls-port", self.port.to_string());
                set("tls-auth-clients", "no".to_owned());
                for (name, file, pem) in [
                    ("tls-ca-cert-file", "ca.pem", &identity.authority_pem),
                    ("tls-cert-file", "cert.pem", &identity.certificate_pem),
                    ("tls-key-file", "key.pem", &identity.key_pem),
                ] {
                    let path = self.dir.path().join(file);
                    fs::write(&path, pem)
                        .map_err(ServerError::io(SERVER, format!("writing {}", path.display())))?;
                    set(name, path.display().to_string());
                }
            }
        }
        // Through a file, so that the password is not in the process list.
        let config = self.dir.path().join("redis.conf");
        let mut text = String::new();
        for (name, value) in settings.iter().chain(&options.extra) {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            text.extend([name.as_str(), " \"", &quoted, "\"\n"]);
        }
        write_private(SERVER, &config, &text)?;
        let mut command = Command::new(&self.program);
        command.arg(config);
        Ok(command)
    }
}
