//! Opens the pool, with the password that works at the moment, and keeps it opening connections through a rotation.
//!
//! The password in use (CURRENT) comes first; the one being rotated in (NEXT) only when PostgreSQL refuses that one,
//! never because it is away. Open connections stay as they are: PostgreSQL asks once.

use std::{path::Path, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio::sync::Notify;

use super::DbError;
use crate::{
    secrets::{Key, Secrets},
    settings::postgres::{DbTlsMode, PostgresSettings},
};

/// A pool that has no connection by then has an outage, and its caller should say so.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections are renewed, so that a rotated password, a moved server or a leak never gets old.
const MAX_LIFETIME: Duration = Duration::from_mins(30);
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);
/// What every session asks of the server: no statement, lock or forgotten transaction may hold others for long.
const SESSION_LIMITS: [(&str, &str); 4] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "15s"),
    // A row is acknowledged only when it is on disk, whatever the server's own default is.
    ("synchronous_commit", "on"),
];

/// Rung when PostgreSQL refuses a login, so that the pools look for another password.
static REFUSED: Notify = Notify::const_new();

/// Opens a pool and proves that it works.
///
/// From then on the pool follows the secrets: new connections take CURRENT, or NEXT when that is refused.
///
/// # Errors
/// [`DbError::Query`] when PostgreSQL is away (worth a retry), [`DbError::Refused`] when it takes no password that the
/// secrets hold.
pub async fn connect(settings: &PostgresSettings, secrets: &Secrets) -> Result<PgPool, DbError> {
    let door = Arc::new(Door { settings: settings.clone(), secrets: secrets.clone() });
    // Seen before the first look, so that no change falls in between.
    let changed = secrets.changed();
    let options = door.working_options().await?;
    let pool = PgPoolOptions::new()
        .min_connections(settings.pool_min)
        .max_connections(settings.pool_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(MAX_LIFETIME)
        .idle_timeout(IDLE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(DbError::during("connecting"))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "lives and ends with the pool, which has no lifecycle of its own"
    )]
    tokio::spawn(door.follow(pool.clone(), changed));
    Ok(pool)
}

/// Checks that the database answers.
///
/// # Errors
/// The database's, at the latest after the pool's acquire timeout.
pub async fn check(pool: &PgPool) -> Result<(), DbError> {
    sqlx::query_scalar!(r#"select 1 as "one!""#)
        .fetch_one(pool)
        .await
        .map(|_| ())
        .map_err(DbError::during("checking that it answers"))
}

/// Called for every failed statement: tells the pools when a login was refused.
pub(super) fn notice(error: &sqlx::Error) {
    if is_refusal(error) {
        REFUSED.notify_waiters();
    }
}

/// SQLSTATE class 28: invalid authorization.
fn is_refusal(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code.starts_with("28"))
}

/// Where PostgreSQL is and how to get in.
struct Door {
    settings: PostgresSettings,
    secrets: Secrets,
}

impl Door {
    /// Tries the passwords until one is taken, on a connection of its own.
    async fn working_options(&self) -> Result<PgConnectOptions, DbError> {
        let mut passwords = self.passwords();
        let tried = passwords.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
        let mut refusal = None;
        // A server may need none: a private one, or one that knows the account of a Unix socket.
        let candidates: Vec<Option<SecretString>> = if passwords.is_empty() {
            vec![None]
        } else {
            passwords.drain(..).map(|(_, password)| Some(password)).collect()
        };
        for password in candidates {
            let options = self.options(password.as_ref());
            let attempt = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await;
            match attempt.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(connection) => {
                    // It has shown what it was for; whether it ends politely does not matter.
                    let _closed = connection.close().await;
                    return Ok(options);
                }
                Err(error) if is_refusal(&error) => refusal = Some(error),
                Err(error) => return Err(DbError::Query { action: "connecting", source: error }),
            }
        }
        let tried = if tried.is_empty() { "no password, as the secrets hold none".to_owned() } else { tried };
        match refusal {
            Some(source) => Err(DbError::Refused { user: self.user(), tried, source }),
            None => Err(DbError::Query { action: "connecting", source: sqlx::Error::PoolTimedOut }),
        }
    }

    fn passwords(&self) -> Vec<(&'static str, SecretString)> {
        [Key::DbPassCurrent, Key::DbPassNext]
            .into_iter()
            .filter_map(|key| Some((key.as_str(), self.secrets.get(key)?)))
            .collect()
    }

    fn user(&self) -> String {
        self.secrets
            .get(Key::DbUser)
            .map_or_else(|| self.settings.user.clone(), |user| user.expose_secret().to_owned())
    }

    fn options(&self, password: Option<&SecretString>) -> PgConnectOptions {
        let settings = &self.settings;
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&settings.host)
            .port(settings.port)
            .database(&settings.database)
            .username(&self.user())
            .application_name(&program())
            .ssl_mode(match settings.tls {
                DbTlsMode::Disable => PgSslMode::Disable,
                DbTlsMode::Require => PgSslMode::Require,
                DbTlsMode::VerifyFull => PgSslMode::VerifyFull,
            })
            .options(SESSION_LIMITS);
        if let Some(authority) = &settings.ca_cert_path {
            options = options.ssl_root_cert(authority);
        }
        if let Some(password) = password {
            options = options.password(password.expose_secret());
        }
        options
    }

    /// Gives the pool another password when the secrets change or PostgreSQL refuses the one it has.
    async fn follow(
        self: Arc<Self>,
        pool: PgPool,
        mut changed: tokio::sync::watch::Receiver<crate::secrets::Revision>,
    ) {
        loop {
            let refused = REFUSED.notified();
            tokio::select! {
                () = pool.close_event() => return,
                () = refused => {}
                change = changed.changed() => if change.is_err() {
                    // The secrets will never change again; a refusal may still mean NEXT.
                    tokio::select! {
                        () = pool.close_event() => return,
                        () = REFUSED.notified() => {}
                    }
                }
            }
            match self.working_options().await {
                Ok(options) => pool.set_connect_options(options),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "no login to PostgreSQL now; open connections stay in use: {error}"
                    );
                }
            }
        }
    }
}

/// The program's name, so that a session can be told from the next in `pg_stat_activity`.
fn program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().map_or_else(|| "mutt".to_owned(), |name| name.to_string_lossy().into_owned())
}
