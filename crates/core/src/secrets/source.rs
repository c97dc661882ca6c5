//! Opens the configured source and keeps the values fresh for as long as the service runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::metrics::SecretsMetrics;
use super::values::Values;
use super::vault::Vault;
use super::{Secrets, SecretsError, VaultOperation, Writer, file};
use crate::runtime::{Backoff, Lifecycle};
use crate::settings::vault::{SecretsBackend, SecretsSettings, VaultSettings};

/// Of attempts that fail: not to trouble a Vault that comes back under load, and to be back within a minute.
const RETRY: Backoff = match Backoff::try_new(Duration::from_millis(250), Duration::from_secs(30)) {
    Ok(backoff) => backoff,
    Err(_) => panic!("the shorter time comes first"),
};
/// How often a secrets file is looked at; it is small and local.
const FILE_INTERVAL: Duration = Duration::from_secs(10);

/// Reads the secrets and keeps them fresh: on an interval, and on SIGHUP.
///
/// A Vault that is away is waited for, telling so, for as long as the settings allow.
///
/// # Errors
/// What the source refuses for good, at once; [`SecretsError::GaveUp`] when Vault stayed away.
pub async fn open(settings: &SecretsSettings, lifecycle: &Lifecycle) -> Result<Secrets, SecretsError> {
    let metrics = SecretsMetrics::new();
    match &settings.backend {
        SecretsBackend::File(path) => {
            let (writer, secrets) = Writer::new(file::read(path)?, metrics.clone());
            let path = path.clone();
            lifecycle.spawn_critical("secrets", watch_file(path, writer, metrics, Signals::of(lifecycle)));
            Ok(secrets)
        }
        SecretsBackend::Vault(vault_settings) => {
            let mut vault = Vault::new(VaultSettings::clone(vault_settings), metrics.clone());
            let limit = vault_settings.start_limit;
            let values = read_patiently(&mut vault, limit, &lifecycle.draining()).await?;
            let (writer, secrets) = Writer::new(values, metrics);
            let interval = vault_settings.refresh_interval;
            lifecycle.spawn_critical("secrets", keep_vault(vault, writer, interval, Signals::of(lifecycle)));
            Ok(secrets)
        }
    }
}

/// What the task that keeps secrets fresh listens to; taken before it starts, so that no signal falls in between.
struct Signals {
    draining: CancellationToken,
    reload: watch::Receiver<u64>,
}

impl Signals {
    fn of(lifecycle: &Lifecycle) -> Self {
        Self { draining: lifecycle.draining(), reload: lifecycle.on_reload() }
    }
}

/// Reads for the first time: a Vault that cannot answer is waited for, one that refuses is not.
async fn read_patiently(
    vault: &mut Vault,
    limit: Duration,
    stop: &CancellationToken,
) -> Result<Values, SecretsError> {
    let started = Instant::now();
    for failures in 0.. {
        let tried = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(SecretsError::Stopped),
            tried = vault.read() => tried,
        };
        let failure = match tried {
            Ok(values) => return Ok(values),
            Err(failure) if failure.is_transient() => failure,
            Err(failure) => return Err(failure),
        };
        let (waited, pause) = (started.elapsed(), RETRY.delay(failures));
        if waited + pause >= limit {
            return Err(SecretsError::GaveUp { waited, source: Box::new(failure) });
        }
        tracing::warn!(
            error = &failure as &dyn std::error::Error,
            "waiting for Vault ({} of {} s)",
            waited.as_secs(),
            limit.as_secs()
        );
        tokio::select! {
            () = stop.cancelled() => return Err(SecretsError::Stopped),
            () = sleep(pause) => {}
        }
    }
    unreachable!("the loop has no end of its own")
}

/// Keeps the token alive and the values fresh until the service drains; a failure is told and tried again.
async fn keep_vault(
    mut vault: Vault,
    writer: Writer,
    interval: Duration,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let (mut renewals, mut readings) = (Attempts::default(), Attempts::default());
    let mut read_at = next_reading(interval);
    loop {
        let renew_at = renewals.not_before(vault.renewal_due());
        tokio::select! {
            () = signals.draining.cancelled() => return Ok(()),
            () = sleep_until(read_at) => {}
            () = sleep_until(renew_at.unwrap_or(read_at)) => {}
            _ = signals.reload.changed() => read_at = Instant::now(),
        }
        if renew_at.is_some_and(|due| due <= Instant::now()) {
            renewals.note("keeping the Vault token", vault.keep_alive().await.err());
        }
        if read_at <= Instant::now() {
            match vault.read().await {
                Ok(values) => {
                    writer.publish(values);
                    readings.note("reading the secrets again", None);
                    read_at = next_reading(interval);
                }
                Err(failure) => {
                    readings.note("reading the secrets again", Some(failure));
                    read_at =
                        readings.not_before(Some(read_at)).unwrap_or(read_at).min(next_reading(interval));
                }
            }
        }
    }
}

/// Looks at the file again on the timer and on SIGHUP; one that cannot be read changes nothing.
async fn watch_file(
    path: PathBuf,
    writer: Writer,
    metrics: SecretsMetrics,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let path = Arc::new(path);
    let mut readings = Attempts::default();
    loop {
        tokio::select! {
            () = signals.draining.cancelled() => return Ok(()),
            () = sleep(FILE_INTERVAL) => {}
            _ = signals.reload.changed() => {}
        }
        let from = Arc::clone(&path);
        match tokio::task::spawn_blocking(move || file::read(&from)).await? {
            Ok(values) => {
                writer.publish(values);
                readings.note("reading the secrets again", None);
            }
            Err(failure) => {
                metrics.failed(VaultOperation::Read);
                readings.note("reading the secrets again", Some(failure));
            }
        }
    }
}

/// A tenth earlier or later, so that processes that started together do not ask together for ever.
fn next_reading(interval: Duration) -> Instant {
    Instant::now() + interval.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}

/// Failures in a row of one thing that is tried for ever.
#[derive(Debug, Default)]
struct Attempts {
    failures: u32,
    again_at: Option<Instant>,
}

impl Attempts {
    /// Takes note of an attempt, and warns of a failure.
    fn note(&mut self, what: &str, failure: Option<SecretsError>) {
        let Some(failure) = failure else {
            if self.failures > 0 {
                tracing::info!("{what} works again");
            }
            *self = Self::default();
            return;
        };
        self.again_at = Some(Instant::now() + RETRY.delay(self.failures));
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(
            error = &failure as &dyn std::error::Error,
            failures = self.failures,
            "{what} failed; what was read before stays in use"
        );
    }

    /// `due`, or later while attempts fail.
    fn not_before(&self, due: Option<Instant>) -> Option<Instant> {
        Some(due?.max(self.again_at.unwrap_or(due?)))
    }
}
