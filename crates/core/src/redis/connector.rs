//! Opens connections to Redis, each with the password that works at that moment.
//!
//! The password in use (CURRENT) is tried first; the one being rotated in (NEXT) only when Redis refuses that one, never
//! because Redis is away. Both are taken from the live secrets for every new connection and reconnection, so a rotation
//! needs no restart. A connection that is open stays open: Redis asks for a password once.

use std::path::PathBuf;
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSub};
use ::redis::{
    AsyncConnectionConfig, BasicAuth, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    RedisError, RedisResult, StreamingCredentialsProvider, TlsCertificates,
};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use crate::runtime::StartError;
use crate::secrets::{Key, Secrets};
use crate::settings::redis::RedisSettings;

/// A server on the same network answers a connection in milliseconds; beyond this it is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than a disk that stalls under `appendfsync always`, shorter than a sender's patience.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// What a call that waits in the server may take beyond that wait before its connection counts as dead.
const BLOCKING_MARGIN: Duration = Duration::from_secs(2);
/// Attempts of one reconnection; a call during an outage fails after about a second.
const RECONNECT_ATTEMPTS: usize = 3;
const RECONNECT_MAX_DELAY: Duration = Duration::from_secs(1);
/// Commands that may wait for the socket; group commits come in bursts.
const PIPELINE_BUFFER: usize = 1024;
/// Redis's name for the account of clients that give only a password.
const DEFAULT_USER: &str = "default";

/// Why there is no connection to Redis.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file of certificate authorities cannot be used.
    #[error("reading REDIS_CA_CERT_PATH {}", path.display())]
    CaFile {
        /// `REDIS_CA_CERT_PATH`.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Host, port or certificates make no sense together.
    #[error("the settings for Redis at {address} cannot be used")]
    Settings {
        /// Host and port.
        address: String,
        /// What is wrong with them.
        #[source]
        source: RedisError,
    },
    /// Redis wants another password than the secrets hold.
    #[error("Redis at {address} refuses us: {reason}")]
    Refused {
        /// Host and port.
        address: String,
        /// Which passwords were tried; never one itself.
        reason: String,
    },
    /// Redis does not answer, or not yet.
    #[error("connecting to Redis at {address}")]
    Away {
        /// Host and port.
        address: String,
        /// What went wrong.
        #[source]
        source: RedisError,
    },
}

impl ConnectError {
    /// Whether the same call can succeed later with nothing changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Away { .. } => true,
            Self::CaFile { .. } | Self::Settings { .. } | Self::Refused { .. } => false,
        }
    }
}

/// Exit code 69 for a Redis that is away, 78 for what only a person can change.
impl From<ConnectError> for StartError {
    fn from(error: ConnectError) -> Self {
        if error.is_transient() {
            return Self::unavailable("Redis", error);
        }
        Self::Misconfigured { what: "Redis cannot be used".to_owned(), source: Some(error.into()) }
    }
}

/// Knows where Redis is and how to get in; a clone is cheap.
#[derive(Clone)]
pub struct Connector {
    /// Without a password: that is looked up for each connection.
    info: ConnectionInfo,
    address: String,
    secrets: Secrets,
}

impl Connector {
    /// Prepares for connections; opens none.
    ///
    /// # Errors
    /// [`ConnectError::CaFile`] or [`ConnectError::Settings`]. Not worth a retry.
    pub fn new(settings: &RedisSettings, secrets: &Secrets) -> Result<Self, ConnectError> {
        let is_socket = settings.host.starts_with('/');
        let address =
            if is_socket { settings.host.clone() } else { format!("{}:{}", settings.host, settings.port) };
        let unusable = |source| ConnectError::Settings { address: address.clone(), source };
        let location = if is_socket {
            ConnectionAddr::Unix(PathBuf::from(&settings.host))
        } else if settings.tls {
            ConnectionAddr::TcpTls {
                host: settings.host.clone(),
                port: settings.port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(settings.host.clone(), settings.port)
        };
        let info = location.into_connection_info().map_err(unusable)?;
        let redis = info.redis_settings().clone().set_db(i64::from(settings.database));
        let mut info = info.set_redis_settings(redis);
        if settings.tls {
            let root_cert = match &settings.ca_cert_path {
                None => None,
                Some(path) => Some(
                    std::fs::read(path)
                        .map_err(|source| ConnectError::CaFile { path: path.clone(), source })?,
                ),
            };
            let client = Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert });
            info = client.map_err(unusable)?.get_connection_info().clone();
        }
        Ok(Self { info, address, secrets: secrets.clone() })
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A connection to share by clones, which reconnects by itself and never repeats a command by itself.
    ///
    /// Not for commands that wait in the server: they hold up everybody else's.
    ///
    /// # Errors
    /// [`ConnectError`]; worth a retry when [`ConnectError::is_transient`].
    pub async fn manager(&self) -> Result<ConnectionManager, ConnectError> {
        let mut config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(RECONNECT_ATTEMPTS)
            .set_max_delay(RECONNECT_MAX_DELAY)
            .set_pipeline_buffer_size(PIPELINE_BUFFER);
        // Also tells a refusal from an outage before the library gets to blur the two.
        if self.working_password().await.map_err(|failure| self.told(failure))?.is_some() {
            config = config.set_credentials_provider(Passwords(self.clone()));
        }
        let away = |source| self.told(Failure::Redis(source));
        let client = Client::open(self.info.clone()).map_err(away)?;
        let mut manager = client.get_connection_manager_with_config(config).await.map_err(away)?;
        // Without a password the first command is what Redis refuses.
        let pong: RedisResult<String> = ::redis::cmd("PING").query_async(&mut manager).await;
        pong.map(|_| manager).map_err(away)
    }

    /// A connection of its own for commands that wait in the server for up to `block`. It does not reconnect.
    ///
    /// # Errors
    /// What Redis or the way to it said; a refused password is told as an I/O error of kind "permission denied".
    pub async fn blocking(&self, block: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(block + BLOCKING_MARGIN));
        let client = self.client_with_password().await?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// A connection for announcements. It does not reconnect.
    ///
    /// # Errors
    /// As [`Connector::blocking`].
    pub async fn pubsub(&self) -> RedisResult<PubSub> {
        let client = self.client_with_password().await?;
        timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await.unwrap_or_else(|_| Err(timed_out()))
    }

    async fn client_with_password(&self) -> RedisResult<Client> {
        let password = self.working_password().await.map_err(Failure::into_redis)?;
        let mut redis = self.info.redis_settings().clone();
        if let Some(password) = password {
            redis = redis.set_username(DEFAULT_USER).set_password(password.expose_secret());
        }
        Client::open(self.info.clone().set_redis_settings(redis))
    }

    /// The password that Redis takes now, tried on a connection of its own; `None` when the secrets hold none.
    async fn working_password(&self) -> Result<Option<SecretString>, Failure> {
        let passwords = self.passwords();
        if passwords.is_empty() {
            return Ok(None);
        }
        let client = Client::open(self.info.clone()).map_err(Failure::Redis)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        // Choosing a database would need the password already.
        let mut connection = client_without_database(&client)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(Failure::Redis)?;
        for (key, password) in &passwords {
            let mut auth = ::redis::cmd("AUTH");
            auth.arg(DEFAULT_USER).arg(password.expose_secret());
            match auth.query_async::<()>(&mut connection).await {
                Ok(()) => {
                    if *key == Key::RedisPassNext {
                        tracing::info!("Redis does not take REDIS_PASS_CURRENT; REDIS_PASS_NEXT works");
                    }
                    return Ok(Some(password.clone()));
                }
                Err(error) if is_wrong_password(&error) => {}
                Err(error) => return Err(Failure::Redis(error)),
            }
        }
        let tried: Vec<&str> = passwords.iter().map(|(key, _)| key.as_str()).collect();
        Err(Failure::Refused(format!("it takes none of the passwords tried: {}", tried.join(", "))))
    }

    /// What to try, in order.
    fn passwords(&self) -> Vec<(Key, SecretString)> {
        [Key::RedisPassCurrent, Key::RedisPassNext]
            .into_iter()
            .filter_map(|key| Some((key, self.secrets.get(key)?)))
            .collect()
    }

    fn told(&self, failure: Failure) -> ConnectError {
        let address = self.address.clone();
        match failure {
            Failure::Refused(reason) => ConnectError::Refused { address, reason },
            Failure::Redis(error) if error.code() == Some("NOAUTH") => {
                let missing = self.secrets.require(Key::RedisPassCurrent).err();
                let reason = missing
                    .map_or_else(|| error.to_string(), |missing| format!("it wants a password; {missing}"));
                ConnectError::Refused { address, reason }
            }
            Failure::Redis(source) => ConnectError::Away { address, source },
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why no password was found.
enum Failure {
    Refused(String),
    Redis(RedisError),
}

impl Failure {
    /// As an I/O error: for a manager every other kind is final, and it would never try to reconnect again.
    fn into_redis(self) -> RedisError {
        match self {
            Self::Refused(reason) => std::io::Error::new(std::io::ErrorKind::PermissionDenied, reason).into(),
            Self::Redis(error) if error.is_io_error() => error,
            Self::Redis(error) => std::io::Error::other(error.to_string()).into(),
        }
    }
}

/// Gives each reconnection of a manager the password that works then.
struct Passwords(Connector);

impl StreamingCredentialsProvider for Passwords {
    fn subscribe(&self) -> BoxStream<'static, RedisResult<BasicAuth>> {
        let connector = self.0.clone();
        let first = stream::once(async move {
            let password = connector.working_password().await.map_err(Failure::into_redis)?;
            let password = password.map(|password| password.expose_secret().to_owned()).unwrap_or_default();
            Ok(BasicAuth::new(DEFAULT_USER.to_owned(), password))
        });
        // An open connection is never authenticated anew, and a stream that ends would be logged as a fault.
        first.chain(stream::pending()).boxed()
    }
}

fn client_without_database(client: &Client) -> Result<Client, Failure> {
    let info = client.get_connection_info();
    let redis = info.redis_settings().clone().set_db(0).set_skip_set_lib_name();
    Client::open(info.clone().set_redis_settings(redis)).map_err(Failure::Redis)
}

/// Before Redis 6 the code was plain `ERR`.
fn is_wrong_password(error: &RedisError) -> bool {
    error.code() == Some("WRONGPASS")
        || (error.code() == Some("ERR")
            && error.detail().is_some_and(|text| text.contains("invalid password")))
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
