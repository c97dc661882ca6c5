//! Slows down guessing: after some wrong keys an address has to wait.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

/// Wrong keys within [`WINDOW`] after which an address waits.
const ALLOWED: u32 = 5;
const WINDOW: Duration = Duration::from_mins(1);
/// More addresses than this at once are not people: then all of them share one count.
const MOST_ADDRESSES: usize = 10_000;

/// Wrong keys per address.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    since: DateTime<Utc>,
}

impl Failures {
    fn is_over(self, now: DateTime<Utc>) -> bool {
        let age = now - self.since;
        // A clock that was set back ends the window too, or it would last until the clock is there again.
        age < chrono::TimeDelta::zero() || age.to_std().is_ok_and(|age| age >= WINDOW)
    }
}

impl Throttle {
    /// How long this address has to wait before a key of it is looked at; `None` when it need not.
    pub(crate) fn wait(&self, address: IpAddr, now: DateTime<Utc>) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = *failures.get(&network(address))?;
        if failures.count < ALLOWED || failures.is_over(now) {
            return None;
        }
        WINDOW.checked_sub((now - failures.since).to_std().unwrap_or_default())
    }

    /// Notes a wrong key.
    pub(crate) fn failed(&self, address: IpAddr, now: DateTime<Utc>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_ADDRESSES {
            all.retain(|_, failures| !failures.is_over(now));
        }
        let address = if all.len() >= MOST_ADDRESSES { IpAddr::from([0, 0, 0, 0]) } else { network(address) };
        let failures = all.entry(address).or_insert(Failures { count: 0, since: now });
        if failures.is_over(now) {
            *failures = Failures { count: 0, since: now };
        }
        failures.count = failures.count.saturating_add(1);
    }

    /// Forgets the wrong keys of an address that gave a right one.
    pub(crate) fn succeeded(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&network(address));
    }
}

/// One host may have all addresses of an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn guessing_waits_and_others_do_not() {
        let throttle = Throttle::default();
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let (guesser, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..ALLOWED {
            assert_eq!(throttle.wait(guesser, start), None);
            throttle.failed(guesser, start);
        }
        assert_eq!(throttle.wait(guesser, start + TimeDelta::seconds(20)), Some(Duration::from_secs(40)));
        assert_eq!(throttle.wait(other, start), None);
        assert_eq!(throttle.wait(guesser, start + TimeDelta::seconds(60)), None);
        throttle.failed(guesser, start + TimeDelta::seconds(61));
        assert_eq!(throttle.wait(guesser, start + TimeDelta::seconds(61)), None, "a new window");
        throttle.succeeded(guesser);
    }

    #[test]
    fn all_addresses_of_a_host_count_together() {
        let one: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        let other: IpAddr = "2001:db8:0:1:ffff::2".parse().unwrap();
        assert_eq!(network(one), network(other));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), IpAddr::from([10, 0, 0, 1]));
    }
}
