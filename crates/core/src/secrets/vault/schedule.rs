//! When to renew: pure.

use std::time::Duration;

/// How long to wait before renewing a token that lives for `ttl` from now; `None` when it has no end.
///
/// It is renewed when `threshold` is left, or a third of its life when that is less, so that a short life and a long
/// threshold go together. `jitter` in 0..1 spreads processes that started together over a tenth of `ttl`.
pub(super) fn renew_after(ttl: Duration, threshold: Duration, jitter: f64) -> Option<Duration> {
    if ttl.is_zero() {
        return None;
    }
    let margin = threshold.min(ttl / 3).max(ttl / 50);
    Some(ttl.saturating_sub(margin + (ttl / 10).mul_f64(jitter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_long_token_is_renewed_when_the_threshold_is_left() {
        assert_eq!(renew_after(24 * HOUR, HOUR, 0.0), Some(23 * HOUR));
        assert_eq!(renew_after(24 * HOUR, HOUR, 0.5), Some(Duration::from_mins(23 * 60 - 72)));
    }

    #[test]
    fn a_short_token_is_renewed_with_a_third_left_whatever_the_threshold() {
        let second = Duration::from_secs(1);
        assert_eq!(renew_after(9 * second, HOUR, 0.0), Some(6 * second));
        for jitter in [0.0, 0.99] {
            let wait = renew_after(4 * second, HOUR, jitter).unwrap();
            assert!(wait > 2 * second && wait < 3 * second, "{wait:?}");
        }
    }

    #[test]
    fn a_threshold_of_zero_still_leaves_time_to_renew() {
        assert_eq!(renew_after(HOUR, Duration::ZERO, 0.0), Some(49 * HOUR / 50));
    }

    #[test]
    fn a_token_without_an_end_is_never_renewed() {
        assert_eq!(renew_after(Duration::ZERO, HOUR, 0.5), None);
    }
}
