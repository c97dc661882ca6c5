//! Starting: dependencies that are not there yet, and why a start fails.

use std::{error::Error, fmt::Display, future::Future, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Backoff, Lifecycle, exit::Exit};
use crate::{redis::ConnectError, secrets::SecretsError, telemetry::report};

type Cause = Box<dyn Error + Send + Sync + 'static>;

/// Why a service did not start; decides the exit code wherever it stands in the chain of an `anyhow::Error`.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A dependency stayed away: exit code 69, a restart helps when it is back.
    #[error("{dependency} is not available")]
    Unavailable {
        /// As people call it: `Redis`.
        dependency: &'static str,
        /// What the last attempt said.
        source: Cause,
    },
    /// Something that only a person can change: exit code 78, a restart does not help.
    #[error("{what}")]
    Misconfigured {
        /// What is wrong and how it is put right.
        what: String,
        /// What said so, if anything did.
        source: Option<Cause>,
    },
    /// The signal to stop came before the start was done: exit code 0.
    #[error("stopped while waiting for {dependency}")]
    Stopped {
        /// What it waited for.
        dependency: &'static str,
    },
}

impl StartError {
    /// A dependency that stayed away.
    pub fn unavailable(dependency: &'static str, source: impl Into<Cause>) -> Self {
        Self::Unavailable { dependency, source: source.into() }
    }

    /// Something that only a person can change.
    pub fn misconfigured(what: impl Display) -> Self {
        Self::Misconfigured { what: what.to_string(), source: None }
    }

    /// Something that only a person can change, and what said so.
    pub fn misconfigured_because(what: impl Display, source: impl Into<Cause>) -> Self {
        Self::Misconfigured { what: what.to_string(), source: Some(source.into()) }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Unavailable { .. } => Exit::Unavailable,
            Self::Misconfigured { .. } => Exit::Config,
            Self::Stopped { .. } => Exit::Clean,
        }
    }
}

/// Marks an error as "the dependency is away": `redis::connect(..).await.or_unavailable("Redis")?`.
pub trait OrUnavailable<T> {
    /// Turns the error into [`StartError::Unavailable`].
    ///
    /// # Errors
    /// The same as before, marked.
    fn or_unavailable(self, dependency: &'static str) -> Result<T, StartError>;
}

impl<T, E: Into<Cause>> OrUnavailable<T> for Result<T, E> {
    fn or_unavailable(self, dependency: &'static str) -> Result<T, StartError> {
        self.map_err(|error| StartError::unavailable(dependency, error))
    }
}

/// What an error that ended a service means for the exit code.
pub(super) fn exit_for(error: &anyhow::Error) -> Exit {
    error.chain().find_map(exit_for_cause).unwrap_or(Exit::Crash)
}

/// Errors of the core that know whether waiting helps count even where nobody made a [`StartError`] of them: a forgotten
/// conversion shall not turn a wrong setting into a crash that is restarted for ever.
fn exit_for_cause(cause: &(dyn Error + 'static)) -> Option<Exit> {
    let by_patience = |is_transient| if is_transient { Exit::Unavailable } else { Exit::Config };
    if let Some(error) = cause.downcast_ref::<StartError>() {
        return Some(error.exit());
    }
    if let Some(error) = cause.downcast_ref::<ConnectError>() {
        return Some(by_patience(error.is_transient()));
    }
    match cause.downcast_ref::<SecretsError>()? {
        SecretsError::Stopped => Some(Exit::Clean),
        error => Some(by_patience(error.is_transient())),
    }
}

/// Tries `attempt` until it succeeds, for at most `limit`, with growing waits between.
///
/// `is_transient` tells errors that time may heal from those it will not, which end the waiting at once.
///
/// # Errors
/// [`StartError::Unavailable`] when the limit is over or an error will not heal; [`StartError::Stopped`] when the life
/// ends first.
pub async fn wait_for<T, E, F>(
    lifecycle: &Lifecycle,
    dependency: &'static str,
    limit: Duration,
    is_transient: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StartError>
where
    F: Future<Output = Result<T, E>>,
    E: Error + Send + Sync + 'static,
{
    let give_up = Instant::now() + limit;
    let draining = lifecycle.draining();
    for failure in 0.. {
        let tried = tokio::select! {
            biased;
            () = draining.cancelled() => return Err(StartError::Stopped { dependency }),
            tried = attempt() => tried,
        };
        let error = match tried {
            Ok(ready) => {
                if failure > 0 {
                    info!(dependency, "{dependency} is there");
                }
                return Ok(ready);
            }
            Err(error) => error,
        };
        let wait = Backoff::CONNECT.delay(failure);
        if !is_transient(&error) || Instant::now() + wait >= give_up {
            return Err(StartError::unavailable(dependency, error));
        }
        let left = give_up.duration_since(Instant::now());
        warn!(dependency, error = report(&error), left_secs = left.as_secs(), "waiting for {dependency}");
        tokio::select! {
            () = draining.cancelled() => return Err(StartError::Stopped { dependency }),
            () = tokio::time::sleep(wait) => {}
        }
    }
    unreachable!("the loop has no end of its own")
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("refused")]
    struct Refused;

    #[test]
    fn the_cause_of_a_failed_start_decides_the_exit_code() {
        let away: anyhow::Result<()> = Err(Refused).or_unavailable("Redis").context("starting");
        assert_eq!(exit_for(&away.unwrap_err()), Exit::Unavailable);
        let wrong = anyhow::Error::from(StartError::misconfigured("INGEST_API_KEY is not among the secrets"));
        assert_eq!(exit_for(&wrong.context("opening secrets").context("starting")), Exit::Config);
        assert_eq!(exit_for(&anyhow::anyhow!("no idea")), Exit::Crash);
    }

    #[test]
    fn unusable_secrets_are_a_configuration_error_even_without_a_conversion() {
        let missing = SecretsError::Missing { keys: "MOOG_API_KEY".to_owned(), looked_in: "/s".to_owned() };
        assert_eq!(exit_for(&anyhow::Error::from(missing).context("starting")), Exit::Config);
        let waited = Duration::from_mins(1);
        let source = Box::new(SecretsError::Stopped);
        assert_eq!(exit_for(&SecretsError::GaveUp { waited, source }.into()), Exit::Unavailable);
        assert_eq!(exit_for(&SecretsError::Stopped.into()), Exit::Clean);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dependency_is_waited_for_until_it_comes() {
        let lifecycle = Lifecycle::for_tests();
        let mut tries = 0;
        let ready = wait_for(
            &lifecycle,
            "Redis",
            Duration::from_mins(1),
            |_| true,
            || {
                tries += 1;
                std::future::ready(if tries < 5 { Err(Refused) } else { Ok(tries) })
            },
        );
        assert_eq!(ready.await.unwrap(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_at_the_limit_and_at_once_for_what_will_not_heal() {
        let lifecycle = Lifecycle::for_tests();
        let began = Instant::now();
        let limit = Duration::from_mins(1);
        let away =
            wait_for(&lifecycle, "Redis", limit, |_| true, || std::future::ready(Err::<(), _>(Refused)))
                .await;
        assert!(matches!(away, Err(StartError::Unavailable { dependency: "Redis", .. })));
        assert!(
            began.elapsed() > Duration::from_secs(50) && began.elapsed() <= limit,
            "{:?}",
            began.elapsed()
        );
        let before = Instant::now();
        let never =
            wait_for(&lifecycle, "Redis", limit, |_| false, || std::future::ready(Err::<(), _>(Refused)))
                .await;
        assert!(matches!(never, Err(StartError::Unavailable { .. })));
        assert_eq!(Instant::now(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_the_waiting_cleanly() {
        let lifecycle = Lifecycle::for_tests();
        let stopper = lifecycle.clone();
        let (stopped, ()) = tokio::join!(
            wait_for(
                &lifecycle,
                "Redis",
                Duration::from_mins(1),
                |_| true,
                || { std::future::ready(Err::<(), _>(Refused)) }
            ),
            async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                stopper.drain("test");
            }
        );
        let error = anyhow::Error::from(stopped.unwrap_err());
        assert_eq!(exit_for(&error), Exit::Clean);
    }
}
