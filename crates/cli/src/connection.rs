//! How a command finds Redis and PostgreSQL.
//!
//! An address on the command line counts most. Then the services' own settings, when a file is named or the
//! environment says where Redis or PostgreSQL is: with them come TLS, passwords from Vault or file, and queue names. Then
//! the stack that runs in this folder.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use mutt_core::redis::keys::Pipeline;
use mutt_core::runtime::Lifecycle;
use mutt_core::secrets::{self, Secrets};
use mutt_core::settings::postgres::PostgresSettings;
use mutt_core::settings::queue::QueueSettings;
use mutt_core::settings::redis::RedisSettings;
use mutt_core::settings::vault::SecretsSettings;
use mutt_core::settings::{Reader, environment};
use mutt_core::{db, redis as core_redis};
use redis::aio::ConnectionManager;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::exit::Exit;
use crate::stack::Stack;

/// A person waits for the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A file of settings, as the services take it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SettingsArgs {
    /// Settings as the services read them, in TOML; the environment adds to them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SettingsArgs {
    /// Whether the services' own settings say where the server of `host_key` is.
    fn say(&self, host_key: &str) -> bool {
        self.config.is_some() || environment().any(|(key, value)| key == host_key && !value.trim().is_empty())
    }

    /// Reads a section of the settings, and the secrets.
    async fn read<S>(&self, section: impl FnOnce(&mut Reader) -> S) -> anyhow::Result<(S, Secrets)> {
        let loaded = Reader::load(self.config.as_deref(), environment());
        let mut reader = loaded.context(Exit::config("reading the settings"))?.for_service("mutt");
        let settings = section(&mut reader);
        let secrets = SecretsSettings::read(&mut reader);
        reader.finish().context(Exit::config("the settings are wrong"))?;
        // Ends with this process, which ends with the command.
        let lifecycle = Lifecycle::new(Duration::ZERO);
        let secrets = secrets::open(&secrets, &lifecycle).await;
        Ok((settings, secrets.context(Exit::unavailable("reading the secrets"))?))
    }
}

/// Where Redis is.
#[derive(Debug, clap::Args)]
pub(crate) struct RedisArgs {
    /// Redis as `redis://:password@host:port/` [default: what the settings say, else of the MUTT that runs here].
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

/// Redis, and the names of the queues in it.
pub(crate) struct Redis {
    pub(crate) connection: ConnectionManager,
    pub(crate) pipeline: Pipeline,
}

impl RedisArgs {
    /// Connects.
    ///
    /// # Errors
    /// When no address is known or nobody answers there.
    pub(crate) async fn connect(&self, settings: &SettingsArgs) -> anyhow::Result<Redis> {
        if self.redis.is_none() && settings.say("REDIS_HOST") {
            let read = |reader: &mut Reader| (RedisSettings::read(reader), QueueSettings::read(reader));
            let ((redis, queues), secrets) = settings.read(read).await?;
            let connection = core_redis::connect(&redis, &secrets).await;
            let connection = connection.context(Exit::unavailable("no Redis to ask"))?;
            return Ok(Redis { connection, pipeline: queues.pipeline() });
        }
        let here = || Stack::running_here().map(|stack| stack.redis_url);
        let url = self.redis.clone().or_else(here).context(nowhere("Redis", "--redis", "REDIS_HOST"))?;
        Ok(Redis { connection: connect_redis(&url).await?, pipeline: Pipeline::default() })
    }
}

/// # Errors
/// When the address is none, or nobody answers there.
pub(crate) async fn connect_redis(url: &str) -> anyhow::Result<ConnectionManager> {
    let client = redis::Client::open(url).context(Exit::usage("--redis is not an address of Redis"))?;
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_connection_timeout(Some(ANSWER_LIMIT))
        .set_response_timeout(Some(ANSWER_LIMIT))
        .set_number_of_retries(0);
    let connection = ConnectionManager::new_with_config(client, config).await;
    connection.context(Exit::unavailable("connecting to Redis"))
}

/// Where PostgreSQL is.
#[derive(Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// PostgreSQL as `postgres://user:password@host:port/name` [default: as for Redis].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl DatabaseArgs {
    /// Connects.
    ///
    /// # Errors
    /// When no address is known or nobody answers there.
    pub(crate) async fn connect(&self, settings: &SettingsArgs) -> anyhow::Result<PgPool> {
        if self.database.is_none() && settings.say("DB_HOST") {
            let (postgres, secrets) = settings.read(PostgresSettings::read).await?;
            let pool = db::connect(&postgres, &secrets).await;
            return pool.context(Exit::unavailable("no PostgreSQL to ask"));
        }
        let here = || Stack::running_here().map(|stack| stack.database_url);
        let url = self.database.clone().or_else(here);
        connect_database(&url.context(nowhere("PostgreSQL", "--database", "DB_HOST"))?).await
    }
}

/// # Errors
/// When the address is none, or nobody answers there.
pub(crate) async fn connect_database(url: &str) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions =
        url.parse().context(Exit::usage("--database is not an address of PostgreSQL"))?;
    let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(ANSWER_LIMIT);
    pool.connect_with(options).await.context(Exit::unavailable("connecting to PostgreSQL"))
}

fn nowhere(what: &str, option: &str, key: &str) -> Exit {
    Exit::usage(format!(
        "where is {what}? No MUTT runs in this folder: give {option}, or set {key}, or name a --config"
    ))
}
