//! A private PostgreSQL.
//!
//! PostgreSQL refuses to run as root: as root, its programs run as Debian's `postgres` user, and a data directory that
//! this user cannot reach (below `/root`, say) is moved to one that it can; [`PostgresServer::data_dir`] tells which.

mod account;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::sync::OnceCell;

use self::account::{Account, find_binaries, reachable, run_as};
use crate::process::{DataDir, Launch, ServerProcess};
use crate::{ServerError, free_port};

const SERVER: &str = "postgres";
/// The superuser that owns everything in a private server.
const USER: &str = "mutt";
/// initdb and start take below a second; crash recovery of a large database takes longer.
const READY_LIMIT: Duration = Duration::from_mins(1);
const PORT_TRIES: usize = 5;

/// Options of a [`PostgresServer`]; the defaults suit a test.
#[derive(Debug, Default)]
pub struct PostgresBuilder {
    data_dir: Option<PathBuf>,
    log_file: Option<PathBuf>,
    port: Option<u16>,
    password: Option<String>,
    durable: bool,
    extra: Vec<(String, String)>,
}

impl PostgresBuilder {
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

    /// Asks for a password (SCRAM). Takes effect when the data directory is new; later it must be the same one.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Forces commits to disk, as a real server does; without it they survive a killed server, not a power cut.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Adds any other server setting.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// Creates the data directory when it is new, starts the server and waits until it takes connections.
    ///
    /// # Errors
    /// When PostgreSQL is missing, the directory is in use, or it does not come up; the message has its log.
    pub async fn start(self) -> Result<PostgresServer, ServerError> {
        let bin = find_binaries()?;
        let run_as = run_as()?;
        let wanted = self.data_dir.clone().map(|dir| reachable(dir, run_as.as_ref())).transpose()?;
        let dir = DataDir::open(SERVER, wanted)?;
        let log_file = self.log_file.clone().unwrap_or_else(|| dir.path().join("server.log"));
        let mut server = PostgresServer { process: None, bin, run_as, port: 0, dir, log_file, options: self };
        server.initialise()?;
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

/// A private PostgreSQL server; dropping it ends it.
#[derive(Debug)]
pub struct PostgresServer {
    // First, so that the server is gone before its directory is removed.
    process: Option<ServerProcess>,
    bin: PathBuf,
    run_as: Option<Account>,
    port: u16,
    dir: DataDir,
    log_file: PathBuf,
    options: PostgresBuilder,
}

impl PostgresServer {
    /// Starts one for a test: free port, temporary data, no fsync, no password.
    ///
    /// # Panics
    /// When it cannot be started; the message says why.
    pub async fn start() -> Self {
        match Self::builder().start().await {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        }
    }

    /// The one server that all tests of this process share; give each test its own [`PostgresServer::database`].
    ///
    /// It is never dropped: its watcher ends it with the process.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<PostgresServer> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Options to start one with.
    #[must_use]
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// The loopback port it listens on; stays the same over a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Name of its superuser.
    #[must_use]
    pub fn user(&self) -> &'static str {
        USER
    }

    /// Address of the database `name` with user and password, if there is one. The database need not exist.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        let password = self.options.password.as_ref().map_or_else(String::new, |word| format!(":{word}"));
        format!("postgres://{USER}{password}@127.0.0.1:{}/{name}", self.port)
    }

    /// Where it keeps its data; not the directory asked for when `postgres` could not reach that.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process id, or `None` while it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// Creates a fresh, empty database and returns its address; the caller migrates it.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn database(&self) -> String {
        let name = format!("mutt_{}", uuid::Uuid::now_v7().simple());
        match self.create_database(&name).await {
            Ok(()) => self.url(&name),
            Err(error) => panic!("{error}"),
        }
    }

    /// Creates the database `name` unless it exists.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<(), ServerError> {
        let refused = |error: sqlx::Error| ServerError::Setup {
            server: SERVER,
            action: format!("creating database {name}"),
            detail: error.to_string(),
        };
        let mut connection = sqlx::PgConnection::connect(&self.url("postgres")).await.map_err(refused)?;
        let exists: bool = sqlx::query_scalar("select exists(select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .map_err(refused)?;
        if !exists {
            let quoted = name.replace('"', "\"\"");
            connection
                .execute(AssertSqlSafe(format!("create database \"{quoted}\"")))
                .await
                .map_err(refused)?;
        }
        connection.close().await.map_err(refused)
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

    /// Freezes the main process (SIGSTOP): no new connection is answered; sessions that are open go on.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Stops it in an orderly way, without waiting for clients to leave.
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

    fn cluster(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        // The `postgres` user may not be allowed to enter our working directory.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some(account) = &self.run_as {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    fn initialise(&self) -> Result<(), ServerError> {
        if let Some(account) = &self.run_as {
            chown(self.dir.path(), Some(account.uid), Some(account.gid)).map_err(ServerError::io(
                SERVER,
                format!("giving {} to {}", self.dir.path().display(), account.name),
            ))?;
        }
        if self.cluster().join("PG_VERSION").exists() {
            return Ok(());
        }
        let mut command = self.program("initdb");
        command.args(["-U", USER, "-E", "UTF8", "--locale=C", "-D"]).arg(self.cluster()).stdin(Stdio::null());
        if !self.options.durable {
            command.arg("--no-sync");
        }
        let password_file = self.dir.path().join("initial-password");
        if let Some(password) = &self.options.password {
            self.write_owned(&password_file, password)?;
            command.args(["-A", "scram-sha-256", "--pwfile"]).arg(&password_file);
        } else {
            command.args(["-A", "trust"]);
        }
        let output = command.output().map_err(ServerError::io(SERVER, "running initdb"))?;
        if self.options.password.is_some() {
            fs::remove_file(&password_file).map_err(ServerError::io(SERVER, "removing the password file"))?;
        }
        if output.status.success() {
            return Ok(());
        }
        Err(ServerError::Setup {
            server: SERVER,
            action: format!("initdb in {}", self.cluster().display()),
            detail: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Writes a file that only the server's account can read.
    fn write_owned(&self, path: &Path, text: &str) -> Result<(), ServerError> {
        fs::write(path, "")
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
            .and_then(|()| fs::write(path, text))
            .and_then(|()| match &self.run_as {
                Some(account) => chown(path, Some(account.uid), Some(account.gid)),
                None => Ok(()),
            })
            .map_err(ServerError::io(SERVER, format!("writing {}", path.display())))
    }

    async fn launch(&mut self) -> Result<(), ServerError> {
        let started = Instant::now();
        loop {
            match self.try_launch().await {
                // The last backends of a killed server take a moment to notice.
                Err(ServerError::Exited { log, .. })
                    if log.contains("shared memory block") && started.elapsed() < READY_LIMIT =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                other => return other,
            }
        }
    }

    async fn try_launch(&mut self) -> Result<(), ServerError> {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.cluster()).arg("-p").arg(self.port.to_string());
        let mut set = |name: &str, value: &str| {
            command.arg("-c").arg(format!("{name}={value}"));
        };
        set("listen_addresses", "127.0.0.1");
        set("unix_socket_directories", "");
        set("lc_messages", "C");
        set("max_connections", "200");
        if !self.options.durable {
            // Commits still reach the operating system, so what was answered survives a kill of the server.
            set("fsync", "off");
            set("full_page_writes", "off");
            set("shared_buffers", "64MB");
        }
        for (name, value) in &self.options.extra {
            set(name, value);
        }
        let mut process = ServerProcess::spawn(Launch {
            server: SERVER,
            command,
            log_file: &self.log_file,
            data_dir: self.dir.path(),
            temporary: self.dir.temporary(),
            // Fast shutdown: open sessions are ended, everything committed is kept.
            stop: Signal::INT,
            // Immediate shutdown: unlike SIGKILL it takes its child processes and shared memory with it.
            abandon: Signal::QUIT,
        })?;
        process.wait_for_log("database system is ready to accept connections", READY_LIMIT).await?;
        self.process = Some(process);
        Ok(())
    }
}
