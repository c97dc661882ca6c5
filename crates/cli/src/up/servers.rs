//! The servers behind the services: Redis, PostgreSQL, the Moogsoft stand-in and, when asked for, Vault.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::FutureExt as _;
use mutt_core::domain::clock::{Clock as _, SystemClock};
use mutt_test_support::moog::{Auth, MoogServer};
use mutt_test_support::{AppRoleOptions, PostgresServer, RedisServer, VaultServer};

use super::keys::Keys;
use super::ports::Ports;
use super::service::{tail, turn_over};
use crate::exit::Exit;
use crate::stack::write_private;

/// The original's name for it.
pub(crate) const DATABASE: &str = "mutt_db";
/// The path under which the services look for their secrets.
pub(crate) const SECRETS_PATH: &str = "mutt/prod";
/// Requests of the forwarder that are still being answered.
const MOOG_STOP_LIMIT: Duration = Duration::from_secs(2);

/// All servers of a stack; dropping them ends them.
#[derive(Debug)]
pub(crate) struct Servers {
    redis: RedisServer,
    postgres: PostgresServer,
    moog: MoogServer,
    vault: Option<Vault>,
    logs: PathBuf,
}

/// A private Vault and the login of the services.
#[derive(Debug)]
pub(crate) struct Vault {
    server: VaultServer,
    pub(crate) role_id: String,
    pub(crate) secret_id_file: PathBuf,
}

impl Servers {
    /// Starts all of them at once, on data of an earlier run when there is some.
    ///
    /// # Errors
    /// When one does not start; the others are ended again.
    pub(crate) async fn start(
        folder: &Path,
        ports: &Ports,
        keys: &Keys,
        with_vault: bool,
    ) -> anyhow::Result<Self> {
        let logs = folder.join("logs");
        for name in ["redis", "postgresql", "openbao"] {
            turn_over(&log_file(&logs, name));
        }
        let redis = async {
            let server = RedisServer::builder()
                .data_dir(folder.join("redis"))
                .log_file(log_file(&logs, "redis"))
                .port(ports.redis)
                .password(keys.get("REDIS_PASS_CURRENT"));
            server.start().await.context(Exit::unavailable("starting Redis"))
        };
        let postgres = start_postgres(folder, &logs, ports, keys);
        let moog = async {
            let server = MoogServer::builder()
                .address(SocketAddr::from((Ipv4Addr::LOCALHOST, ports.moog)))
                .auth(Auth::Any(keys.get("MOOG_API_KEY")));
            server.start().await.context(Exit::unavailable("starting the Moogsoft stand-in"))
        };
        let vault = async {
            if with_vault { start_vault(folder, &logs, ports, keys).await.map(Some) } else { Ok(None) }
        };
        let (redis, postgres, moog, vault) = tokio::try_join!(redis, postgres, moog, vault)?;
        Ok(Self { redis, postgres, moog, vault, logs })
    }

    /// With the name of Redis's own account: `redis-cli` does not get in without one.
    pub(crate) fn redis_url(&self, keys: &Keys) -> String {
        format!("redis://default:{}@127.0.0.1:{}/", keys.get("REDIS_PASS_CURRENT"), self.redis.port())
    }

    pub(crate) fn database_url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    pub(crate) fn moog_url(&self) -> String {
        format!("http://{}", self.moog.address())
    }

    /// Where the forwarder sends.
    pub(crate) fn webhook_url(&self) -> String {
        self.moog.url()
    }

    pub(crate) fn vault(&self) -> Option<(String, &Vault)> {
        self.vault.as_ref().map(|vault| (vault.server.address(), vault))
    }

    /// Starts a server that died again, and says which and what its last words were.
    ///
    /// # Errors
    /// When one does not come back.
    pub(crate) async fn revive(&mut self) -> anyhow::Result<Vec<String>> {
        let mut revived = Vec::new();
        if is_gone(self.redis.pid()) {
            revived.push(told("Redis", &log_file(&self.logs, "redis")));
            back_up("Redis", AssertUnwindSafe(self.redis.restart()).catch_unwind().await)?;
        }
        if is_gone(self.postgres.pid()) {
            revived.push(told("PostgreSQL", &log_file(&self.logs, "postgresql")));
            back_up("PostgreSQL", AssertUnwindSafe(self.postgres.restart()).catch_unwind().await)?;
        }
        Ok(revived)
    }

    /// Stops them in an orderly way; `tell` hears of each.
    pub(crate) async fn stop(self, tell: impl Fn(&str)) {
        self.moog.stop(MOOG_STOP_LIMIT).await;
        tell("Moogsoft stand-in");
        self.postgres.stop().await;
        tell("PostgreSQL");
        self.redis.stop().await;
        tell("Redis");
        if let Some(vault) = self.vault {
            vault.server.stop().await;
            tell("Vault");
        }
    }
}

/// Starts PostgreSQL with its database.
///
/// As root in a folder that the `postgres` account cannot enter, its data lies elsewhere and outlives the folder. With
/// new keys nobody can open it any more: it is put aside, never deleted.
async fn start_postgres(
    folder: &Path,
    logs: &Path,
    ports: &Ports,
    keys: &Keys,
) -> anyhow::Result<PostgresServer> {
    let start = || {
        let server = PostgresServer::builder()
            .data_dir(folder.join("postgresql"))
            .log_file(log_file(logs, "postgresql"))
            .port(ports.postgres)
            .password(keys.get("DB_PASS_CURRENT"))
            .durable(true);
        async { server.start().await.context(Exit::unavailable("starting PostgreSQL")) }
    };
    let mut server = start().await?;
    let mut prepared = server.create_database(DATABASE).await;
    let data = server.data_dir().to_owned();
    if prepared.is_err() && keys.are_new() && !data.starts_with(folder) {
        server.stop().await;
        let aside = data.with_extension(format!("before-{}", SystemClock.now().format("%Y%m%dT%H%M%S")));
        fs::rename(&data, &aside).with_context(|| format!("putting {} aside", data.display()))?;
        server = start().await?;
        prepared = server.create_database(DATABASE).await;
    }
    prepared.with_context(|| format!("preparing the database in {}", data.display()))?;
    Ok(server)
}

async fn start_vault(folder: &Path, logs: &Path, ports: &Ports, keys: &Keys) -> anyhow::Result<Vault> {
    let server = VaultServer::builder()
        .data_dir(folder.join("openbao"))
        .log_file(log_file(logs, "openbao"))
        .port(ports.vault)
        .start()
        .await
        .context(Exit::unavailable("starting OpenBao, the Vault-compatible server"))?;
    server.write_secret(SECRETS_PATH, &keys.pairs()).await.context("writing the secrets to Vault")?;
    let login =
        server.app_role("mutt", &AppRoleOptions::default()).await.context("making the AppRole login")?;
    let secret_id_file = folder.join("vault-secret-id");
    write_private(&secret_id_file, login.secret_id.as_bytes())?;
    Ok(Vault { server, role_id: login.role_id, secret_id_file })
}

/// The log of one process of the stack.
pub(crate) fn log_file(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{name}.log"))
}

fn told(name: &str, log: &Path) -> String {
    format!("{name} died and is started again; the end of its log:\n{}", tail(log))
}

/// The harness panics when a server does not come back, as is right in a test.
fn back_up(name: &str, outcome: Result<(), Box<dyn std::any::Any + Send>>) -> anyhow::Result<()> {
    outcome.map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        anyhow!("{name} does not start again: {words}")
    })
}

/// Whether the process has ended: not there, or there only to be asked how it ended.
fn is_gone(pid: Option<u32>) -> bool {
    let Some(pid) = pid else { return true };
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit_once(')').is_none_or(|(_, fields)| fields.trim_start().starts_with('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_gone_even_before_it_is_reaped() {
        assert!(!is_gone(Some(std::process::id())));
        let mut child =
            std::process::Command::new("true").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        while !is_gone(Some(pid)) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_gone(Some(pid)));
        assert!(is_gone(None));
    }
}
