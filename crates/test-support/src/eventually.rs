//! Waiting for something to become true, without a sleep of a guessed length.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// What a probe may return: there it is, or not yet (and why).
pub trait Outcome {
    /// What is waited for.
    type Value;

    /// The value, or what stands in its way.
    ///
    /// # Errors
    /// The status to report when time runs out.
    fn outcome(self) -> Result<Self::Value, String>;
}

impl<T> Outcome for Option<T> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<T, E: Display> Outcome for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

impl Outcome for bool {
    type Value = ();

    fn outcome(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "false".to_owned())
    }
}

/// Polls `probe` until it has a value, and returns that.
///
/// A probe returns `Option<T>`, `bool`, or `Result<T, E>`: with the last, the failure names what was last seen. The
/// pause between polls grows from 5 to 100 ms.
///
/// # Panics
/// When `limit` passes first; a probe that hangs counts too.
pub async fn eventually<O: Outcome>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> O,
) -> O::Value {
    let started = Instant::now();
    let mut pause = Duration::from_millis(5);
    let mut last = "the first probe did not return".to_owned();
    loop {
        let left = limit.saturating_sub(started.elapsed());
        if let Ok(outcome) = tokio::time::timeout(left, probe()).await {
            match outcome.outcome() {
                Ok(value) => return value,
                Err(status) => last = status,
            }
        }
        assert!(started.elapsed() + pause <= limit, "{what}: not within {limit:?}; last seen: {last}");
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(100));
    }
}
