//! How a command finds Redis and PostgreSQL: an address on the command line, else the stack that runs here.

use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::exit::Exit;
use crate::stack::Stack;

/// A person waits for the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Where Redis is.
#[derive(Debug, clap::Args)]
pub(crate) struct RedisArgs {
    /// Redis as `redis://:password@host:port/` [default: of the MUTT that runs here].
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

impl RedisArgs {
    /// Connects.
    ///
    /// # Errors
    /// When no address is known or nobody answers there.
    pub(crate) async fn connect(&self) -> anyhow::Result<MultiplexedConnection> {
        let here = || Stack::running_here().map(|stack| stack.redis_url);
        let url = self.redis.clone().or_else(here).context(no_address("Redis", "--redis"))?;
        let client = redis::Client::open(url).context(Exit::usage("--redis is not an address of Redis"))?;
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .with_context(|| Exit::unavailable("connecting to Redis"))
    }
}

/// Where PostgreSQL is.
#[derive(Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// PostgreSQL as `postgres://user:password@host:port/name` [default: of the MUTT that runs here].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl DatabaseArgs {
    /// Connects.
    ///
    /// # Errors
    /// When no address is known or nobody answers there.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgPool> {
        let here = || Stack::running_here().map(|stack| stack.database_url);
        let url = self.database.clone().or_else(here).context(no_address("PostgreSQL", "--database"))?;
        connect_database(&url).await
    }
}

/// # Errors
/// When the address is none, or nobody answers there.
pub(crate) async fn connect_database(url: &str) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions =
        url.parse().context(Exit::usage("--database is not an address of PostgreSQL"))?;
    let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(ANSWER_LIMIT);
    pool.connect_with(options).await.with_context(|| Exit::unavailable("connecting to PostgreSQL"))
}

fn no_address(what: &str, option: &str) -> Exit {
    Exit::usage(format!("no MUTT runs in this folder: say with {option} where {what} is"))
}
