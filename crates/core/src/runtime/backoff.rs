//! Waits that grow, and differ between peers.

use std::time::Duration;

/// Exponential backoff with full jitter: the wait after failure `n` (from 0) lies anywhere between nothing and
/// `base * 2^n`, at most `cap`.
///
/// Full jitter, because peers that failed together shall not come back together; its mean is half the ceiling, so a
/// lone caller does not wait longer for it.
///
/// ```
/// use mutt_core::runtime::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff::try_new(Duration::from_secs(1), Duration::from_mins(1))?;
/// assert_eq!(backoff.ceiling(0), Duration::from_secs(1));
/// assert_eq!(backoff.ceiling(5), Duration::from_secs(32));
/// assert_eq!(backoff.ceiling(u32::MAX), Duration::from_mins(1));
/// assert!(backoff.delay(3) <= Duration::from_secs(8));
/// # Ok::<(), mutt_core::runtime::InvalidBackoff>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Above zero.
    base: Duration,
    /// At least `base`.
    cap: Duration,
}

/// The two times make no backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a backoff needs 0 < base <= cap, and base is {base:?}, cap {cap:?}")]
pub struct InvalidBackoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// From 100 ms to 5 s: for connections that are tried again.
    pub const CONNECT: Self = Self { base: Duration::from_millis(100), cap: Duration::from_secs(5) };

    /// A backoff whose first ceiling is `base` and whose last is `cap`.
    ///
    /// # Errors
    /// `base` is zero, or above `cap`.
    pub const fn try_new(base: Duration, cap: Duration) -> Result<Self, InvalidBackoff> {
        if base.is_zero() || base.as_nanos() > cap.as_nanos() {
            return Err(InvalidBackoff { base, cap });
        }
        Ok(Self { base, cap })
    }

    /// The longest wait after failure `failure`, counted from 0.
    #[must_use]
    pub fn ceiling(&self, failure: u32) -> Duration {
        2_u32
            .checked_pow(failure)
            .and_then(|factor| self.base.checked_mul(factor))
            .unwrap_or(self.cap)
            .min(self.cap)
    }

    /// A random wait for failure `failure`, counted from 0.
    #[must_use]
    pub fn delay(&self, failure: u32) -> Duration {
        self.jittered(failure, rand::random())
    }

    /// The part `share`, from 0 to 1, of the ceiling for failure `failure`.
    #[must_use]
    pub fn jittered(&self, failure: u32, share: f64) -> Duration {
        self.ceiling(failure).mul_f64(share.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_that_make_no_backoff_are_refused() {
        let second = Duration::from_secs(1);
        assert!(Backoff::try_new(Duration::ZERO, second).is_err());
        assert!(Backoff::try_new(2 * second, second).is_err());
        assert!(Backoff::try_new(second, second).is_ok());
    }

    proptest! {
        #[test]
        fn a_wait_never_leaves_its_bounds(
            base in 1_u64..10_000, more in 0_u64..1_000_000, failure in any::<u32>(), share in -1.0_f64..2.0
        ) {
            let base = Duration::from_millis(base);
            let cap = base + Duration::from_millis(more);
            let backoff = Backoff::try_new(base, cap).unwrap();
            let ceiling = backoff.ceiling(failure);
            prop_assert!(base <= ceiling && ceiling <= cap);
            prop_assert!(backoff.jittered(failure, share) <= ceiling);
            prop_assert!(backoff.ceiling(failure.saturating_add(1)) >= ceiling);
        }
    }

    #[test]
    fn waits_spread_over_the_whole_range() {
        let backoff = Backoff::try_new(Duration::from_secs(1), Duration::from_secs(1)).unwrap();
        let waits: Vec<_> = (0..1000).map(|_| backoff.delay(9)).collect();
        // Each of these fails once in 10^45 runs.
        assert!(waits.iter().any(|wait| *wait < Duration::from_millis(100)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(900)));
    }
}
