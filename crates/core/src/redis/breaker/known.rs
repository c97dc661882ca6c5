//! What one process remembers of the breaker, so that it need not ask for each request.

use std::time::Duration;

use tokio::time::Instant;

use super::{Admission, Pass};

/// How long "closed" is believed without asking: how late another process's trip is noticed.
const CLOSED_MEMORY: Duration = Duration::from_millis(100);
/// How long "open" is believed: how late it is noticed that another process closed it.
const OPEN_MEMORY: Duration = Duration::from_millis(250);

/// The last answer, while it may be believed.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) until: Option<Instant>,
    epoch: u64,
    /// `None` while closed, else when to ask again.
    closed_again: Option<Instant>,
}

impl Known {
    pub(super) fn answer(&self, now: Instant) -> Option<Admission> {
        if self.until.is_none_or(|until| now >= until) {
            return None;
        }
        Some(match self.closed_again {
            None => Admission::Go(Pass { epoch: self.epoch, probe: None }),
            Some(at) => Admission::Wait(at.saturating_duration_since(now)),
        })
    }

    pub(super) fn closed(&mut self, epoch: u64, now: Instant) {
        *self = Self { until: Some(now + CLOSED_MEMORY), epoch, closed_again: None };
    }

    pub(super) fn open(&mut self, epoch: u64, wait: Duration, now: Instant) {
        *self = Self { until: Some(now + wait.min(OPEN_MEMORY)), epoch, closed_again: Some(now + wait) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_believed_for_a_moment_only() {
        let mut known = Known::default();
        assert!(known.answer(Instant::now()).is_none());
        known.closed(3, Instant::now());
        assert!(matches!(known.answer(Instant::now()), Some(Admission::Go(Pass { epoch: 3, probe: None }))));
        tokio::time::advance(CLOSED_MEMORY).await;
        assert!(known.answer(Instant::now()).is_none());
        known.open(4, Duration::from_secs(5), Instant::now());
        assert!(
            matches!(known.answer(Instant::now()), Some(Admission::Wait(wait)) if wait == Duration::from_secs(5))
        );
        tokio::time::advance(OPEN_MEMORY).await;
        assert!(known.answer(Instant::now()).is_none());
    }
}
