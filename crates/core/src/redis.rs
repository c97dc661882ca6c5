//! Redis: connections, key names, scripts.

mod connector;
mod weak_settings;

pub mod breaker;
pub mod keys;
pub mod live_settings;
pub mod rate_limiter;
pub mod scripts;

use std::time::Duration;

use ::redis::RedisResult;
use ::redis::aio::{ConnectionManager, MultiplexedConnection};

pub use connector::{ConnectError, Connector};
pub use weak_settings::{WeakSetting, warn_about_weak_settings, weak_settings};

use crate::runtime::{Lifecycle, StartError, wait_for};
use crate::secrets::Secrets;
use crate::settings::redis::RedisSettings;

/// Opens a connection to share by clones; see [`Connector::manager`].
///
/// # Errors
/// [`ConnectError`]; worth a retry when [`ConnectError::is_transient`], which [`wait_until_ready`] does.
pub async fn connect(settings: &RedisSettings, secrets: &Secrets) -> Result<ConnectionManager, ConnectError> {
    Connector::new(settings, secrets)?.manager().await
}

/// Opens a connection for commands that wait in the server for up to `block`; see [`Connector::blocking`].
///
/// # Errors
/// What Redis or the way to it said.
pub async fn connect_blocking(connector: &Connector, block: Duration) -> RedisResult<MultiplexedConnection> {
    connector.blocking(block).await
}

/// Connects, waiting for a Redis that is away or still loading its data, and telling so, for up to `limit`.
///
/// # Errors
/// [`StartError::Misconfigured`] for what waiting cannot help, at once; [`StartError::Unavailable`] after `limit`;
/// [`StartError::Stopped`] when the drain comes first.
pub async fn wait_until_ready(
    connector: &Connector,
    limit: Duration,
    lifecycle: &Lifecycle,
) -> Result<ConnectionManager, StartError> {
    let is_transient = |_: &ConnectError| true;
    let attempt = || async {
        match connector.manager().await {
            Err(error) if error.is_transient() => Err(error),
            settled => Ok(settled),
        }
    };
    Ok(wait_for(lifecycle, "Redis", limit, is_transient, attempt).await??)
}
