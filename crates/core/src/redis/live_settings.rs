//! Settings that change while services run: `mutt:config:<key>` in Redis, announced on `mutt:config:updates`.
//!
//! Reading one is an array look-up in a local snapshot, cheap enough for every event. The snapshot follows Redis within
//! moments of an announcement and within 5 s without one; while Redis is away the last one stays. A setting that is not
//! in Redis, or holds what does not fit, has no live value: the service's own setting counts then.

mod registry;
mod store;
mod value;

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{ConnectionManager, PubSub};
use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info, warn};

use super::connector::Connector;
use super::keys;
use crate::runtime::Lifecycle;

pub use registry::*;
pub use store::{Change, LiveSettingsError, check, read_all, write};
pub use value::{Kind, LiveValue, TimeUnit, Value};

/// How old the snapshot may get without an announcement: the original's cache time.
const REFRESH: Duration = Duration::from_secs(5);
/// Announcements in a burst (a script that sets many) cost one reading.
const SETTLE: Duration = Duration::from_millis(20);
/// After this long without an announcement the connection is replaced: a half-open one would stay silent for ever.
const SILENCE: Duration = Duration::from_mins(5);
/// Before listening again after the connection was lost; the timer above reads meanwhile.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The live settings as this process last saw them; a clone is cheap and shares them.
#[derive(Clone)]
pub struct LiveSettings {
    shared: Arc<Shared>,
}

struct Shared {
    snapshot: ArcSwap<Snapshot>,
    version: watch::Sender<u64>,
    conn: Option<ConnectionManager>,
    hint: Notify,
}

/// All settings at one moment, in the order of [`DEFINITIONS`].
#[derive(Debug, Default, PartialEq)]
struct Snapshot {
    texts: Vec<Option<String>>,
    values: Vec<Option<Value>>,
}

/// One setting as people want to see it.
#[derive(Debug)]
pub struct Shown {
    /// What it is.
    pub definition: &'static Definition,
    /// Its text in Redis; `None` when it is not set.
    pub stored: Option<String>,
    /// Whether the stored text counts; one that does not fit is passed over.
    pub fits: bool,
}

impl LiveSettings {
    /// Live settings that are switched off: nothing ever has a live value.
    #[must_use]
    pub fn off() -> Self {
        Self::new(None)
    }

    /// Reads the settings and follows them until the service drains.
    ///
    /// Redis being away is no failure: there are no live values until it is back.
    pub async fn follow(connector: &Connector, conn: ConnectionManager, lifecycle: &Lifecycle) -> Self {
        let live = Self::new(Some(conn));
        live.refresh().await;
        let (reading, listening, connector) = (live.clone(), live.clone(), connector.clone());
        let (draining, drained) = (lifecycle.draining(), lifecycle.draining());
        lifecycle.spawn_critical("live settings", async move {
            tokio::select! {
                () = draining.cancelled() => {}
                () = reading.keep_reading() => {}
            }
            Ok(())
        });
        lifecycle.spawn_critical("live settings listener", async move {
            tokio::select! {
                () = drained.cancelled() => {}
                () = listening.keep_listening(&connector) => {}
            }
            Ok(())
        });
        live
    }

    fn new(conn: Option<ConnectionManager>) -> Self {
        let shared = Shared {
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            version: watch::Sender::new(0),
            conn,
            hint: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The live value; `None` when it is not set, and the service's own setting counts.
    #[must_use]
    pub fn get<T: LiveValue>(&self, setting: Setting<T>) -> Option<T> {
        let snapshot = self.shared.snapshot.load();
        snapshot.values.get(setting.index).copied().flatten().and_then(T::from_value)
    }

    /// The live value, or `own`, which is the service's own setting.
    #[must_use]
    pub fn get_or<T: LiveValue>(&self, setting: Setting<T>, own: T) -> T {
        self.get(setting).unwrap_or(own)
    }

    /// Yields whenever some setting changed; what was current at the call counts as seen.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// All settings with what is stored for them, as this process last saw it.
    #[must_use]
    pub fn list(&self) -> Vec<Shown> {
        let snapshot = self.shared.snapshot.load();
        let show = |(index, definition): (usize, &'static Definition)| {
            let stored = snapshot.texts.get(index).cloned().flatten();
            let fits = stored.is_none() || snapshot.values.get(index).is_some_and(Option::is_some);
            Shown { definition, stored, fits }
        };
        DEFINITIONS.iter().enumerate().map(show).collect()
    }

    /// Sets `key` for all services, or with `None` unsets it; this process sees it at once, the others in moments.
    ///
    /// # Errors
    /// [`LiveSettingsError`]: 404 or 422 for the caller's faults, 503 for Redis.
    pub async fn set(&self, key: &str, text: Option<&str>) -> Result<Change, LiveSettingsError> {
        let Some(conn) = &self.shared.conn else {
            // Switched off: only the check can be done.
            let checked = check(key, text.unwrap_or_default());
            return Err(checked.err().unwrap_or_else(|| switched_off(key)));
        };
        let change = write(&mut conn.clone(), key, text).await?;
        self.refresh().await;
        Ok(change)
    }

    async fn keep_reading(&self) {
        let mut timer = interval(REFRESH);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = self.shared.hint.notified() => sleep(SETTLE).await,
            }
            self.refresh().await;
        }
    }

    /// Turns announcements into readings; the timer stands in while the connection is lost.
    async fn keep_listening(&self, connector: &Connector) {
        loop {
            match subscribe(connector).await {
                Ok(mut subscription) => {
                    // What was announced while nobody listened.
                    self.shared.hint.notify_one();
                    let mut messages = subscription.on_message();
                    while let Ok(Some(_)) = timeout(SILENCE, messages.next()).await {
                        self.shared.hint.notify_one();
                    }
                }
                Err(error) => debug!(error = %error, "cannot listen for changes of live settings"),
            }
            sleep(LISTEN_AGAIN).await;
        }
    }

    async fn refresh(&self) {
        let Some(conn) = &self.shared.conn else { return };
        match read_all(&mut conn.clone()).await {
            Ok(texts) => self.take(Snapshot::new(texts)),
            Err(error) => debug!(error = %error, "live settings stay as they are: Redis does not answer"),
        }
    }

    fn take(&self, new: Snapshot) {
        let old = self.shared.snapshot.load_full();
        if *old == new {
            return;
        }
        for (index, definition) in DEFINITIONS.iter().enumerate() {
            report(definition, (old.text(index), new.text(index)), new.values.get(index).copied().flatten());
        }
        self.shared.snapshot.store(Arc::new(new));
        self.shared.version.send_modify(|version| *version += 1);
    }
}

impl std::fmt::Debug for LiveSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveSettings")
            .field("on", &self.shared.conn.is_some())
            .field("version", &*self.shared.version.borrow())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    fn new(texts: Vec<Option<String>>) -> Self {
        let value = |(text, definition): (&Option<String>, &Definition)| definition.parse(text.as_deref()?);
        let values = texts.iter().zip(DEFINITIONS).map(value).collect();
        Self { texts, values }
    }

    fn text(&self, index: usize) -> Option<&str> {
        self.texts.get(index).and_then(Option::as_deref)
    }
}

/// Tells what changed, once per change.
fn report(definition: &Definition, (old, new): (Option<&str>, Option<&str>), value: Option<Value>) {
    if old == new {
        return;
    }
    match (new, value) {
        (Some(text), None) => warn!(
            key = definition.key,
            value = text,
            "the live setting {} holds what does not fit and is passed over; it must be {}",
            definition.key,
            definition.kind.allowed()
        ),
        (Some(text), Some(_)) => {
            info!(key = definition.key, value = text, "live setting {} = {text}", definition.key);
        }
        (None, _) => info!(key = definition.key, "live setting {} is not set any more", definition.key),
    }
}

async fn subscribe(connector: &Connector) -> ::redis::RedisResult<PubSub> {
    let mut subscription = connector.pubsub().await?;
    subscription.subscribe(keys::CONFIG_UPDATES).await?;
    Ok(subscription)
}

fn switched_off(key: &str) -> LiveSettingsError {
    let reason = (::redis::ErrorKind::InvalidClientConfig, "live settings are switched off");
    LiveSettingsError::Redis { key: find(key).map_or("", |definition| definition.key), source: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, text: &str) -> Snapshot {
        let mut texts = vec![None; DEFINITIONS.len()];
        texts[index_of(key).unwrap()] = Some(text.to_owned());
        Snapshot::new(texts)
    }

    #[test]
    fn only_a_value_that_fits_is_live() {
        let live = LiveSettings::off();
        assert_eq!(live.get_or(MOOG_RATE_LIMIT, 7), 7);
        live.take(with("moog_rate_limit", "80"));
        assert_eq!(live.get(MOOG_RATE_LIMIT), Some(80));
        live.take(with("moog_rate_limit", "0"));
        assert_eq!(live.get_or(MOOG_RATE_LIMIT, 7), 7);
        let shown = live.list();
        let shown = shown.iter().find(|shown| shown.definition.key == "moog_rate_limit").unwrap();
        assert_eq!((shown.stored.as_deref(), shown.fits), (Some("0"), false));
    }

    #[test]
    fn a_listener_hears_of_changes_only() {
        let live = LiveSettings::off();
        let mut changed = live.changed();
        live.take(Snapshot::default());
        assert!(!changed.has_changed().unwrap());
        live.take(with("moog_rate_limit", "80"));
        assert!(changed.has_changed().unwrap());
        changed.mark_unchanged();
        live.take(with("moog_rate_limit", "80"));
        assert!(!changed.has_changed().unwrap());
    }
}
