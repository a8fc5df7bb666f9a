//! When a zone is checked, and when it expires (RFC 1034 section 4.3.5). Pure: the time and the random numbers
//! are arguments.

use std::time::Duration;

use tokio::time::Instant;
use zone::Soa;

/// The first wait of a zone without a version. Each further one is twice as long, as in CoreDNS.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait of a zone without a version.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The wait after a NOTIFY whose sender did not answer as it should: it may still be loading the version.
const AFTER_NOTIFY: Duration = Duration::from_secs(2);
/// The longest EXPIRE.
const MAX_EXPIRE: Duration = Duration::from_secs(24 * 7 * 24 * 3600);

/// Bounds of the SOA record's REFRESH and RETRY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) refresh: (Duration, Duration),
    pub(super) retry: (Duration, Duration),
}

impl Default for Bounds {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Self {
            refresh: (Duration::from_secs(10), days(28)),
            retry: (Duration::from_secs(5), days(14)),
        }
    }
}

impl Bounds {
    fn refresh(&self, soa: &Soa) -> Duration {
        seconds(soa.refresh).clamp(self.refresh.0, self.refresh.1)
    }

    fn retry(&self, soa: &Soa) -> Duration {
        seconds(soa.retry).clamp(self.retry.0, self.retry.1)
    }

    /// The life of a version without a check. A check and a second one fit in.
    pub(super) fn expire(&self, soa: &Soa) -> Duration {
        let least = self.refresh(soa) + self.retry(soa);
        seconds(soa.expire).min(MAX_EXPIRE).max(least)
    }
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

/// When a zone is checked next, and when its version expires.
#[derive(Clone, Debug)]
pub(super) struct Timers {
    pub(super) bounds: Bounds,
    /// The next check.
    pub(super) next: Instant,
    /// The end of the version's life; `None` without one that serves.
    pub(super) expires: Option<Instant>,
    failures: u32,
}

impl Timers {
    /// Of a zone without a version, which is checked at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { bounds: Bounds::default(), next: now, expires: None, failures: 0 }
    }

    /// A version was confirmed `ago`, before this process knew it. It is checked at once.
    pub(super) fn restored(&mut self, now: Instant, soa: &Soa, ago: Duration) {
        self.next = now;
        self.expires = now.checked_add(self.bounds.expire(soa).saturating_sub(ago));
    }

    /// A primary has confirmed the version with this SOA record.
    pub(super) fn confirmed(&mut self, now: Instant, soa: &Soa, random: u32) {
        self.failures = 0;
        self.next = now + spread(self.bounds.refresh(soa), random);
        self.expires = now.checked_add(self.bounds.expire(soa));
    }

    /// No primary has answered as it should. `soa` is the record of the version, expired or not;
    /// `is_notified`: a NOTIFY caused the check. Returns the wait until the next one.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        soa: Option<&Soa>,
        random: u32,
        is_notified: bool,
    ) -> Duration {
        let wait = match soa {
            Some(soa) if is_notified => AFTER_NOTIFY.min(self.bounds.retry(soa)),
            Some(soa) => spread(self.bounds.retry(soa), random),
            None => FIRST_WAIT.saturating_mul(1 << self.failures.min(6)).min(LONGEST_WAIT),
        };
        self.failures = self.failures.saturating_add(1);
        self.next = now + wait;
        wait
    }
}

/// The wait, or up to a tenth less, so that zones that came together are not checked together for ever.
fn spread(wait: Duration, random: u32) -> Duration {
    wait - (wait / 10).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::Name;

    use super::*;

    fn soa(refresh: u32, retry: u32, expire: u32) -> Soa {
        let name = Name::root;
        Soa { mname: name(), rname: name(), serial: 1, refresh, retry, expire, minimum: 0, ttl: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_zone_without_a_version_is_tried_as_in_coredns() {
        let now = Instant::now();
        let mut timers = Timers::new(now);
        let waits: Vec<u128> =
            (0..8).map(|_| timers.failed(now, None, 0, false).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(timers.expires, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_copy_counts() {
        let now = Instant::now();
        let mut timers = Timers::new(now);
        let soa = soa(3600, 600, 86_400);
        timers.restored(now, &soa, Duration::from_secs(86_000));
        assert_eq!(timers.expires, Some(now + Duration::from_secs(400)));
        assert_eq!(timers.next, now);
        timers.restored(now, &soa, Duration::from_secs(90_000));
        assert_eq!(timers.expires, Some(now));
    }

    proptest! {
        #[test]
        fn waits_keep_within_their_bounds(
            refresh: u32, retry: u32, expire: u32, random: u32, failures in 0usize..4,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time().start_paused(true).build().unwrap();
            let _entered = runtime.enter();
            let now = Instant::now();
            let mut timers = Timers::new(now);
            let (soa, bounds) = (soa(refresh, retry, expire), Bounds::default());
            timers.confirmed(now, &soa, random);
            let wait = timers.next - now;
            prop_assert!(wait >= bounds.refresh.0 * 9 / 10 && wait <= bounds.refresh.1);
            prop_assert!(wait <= seconds(refresh).max(bounds.refresh.0));
            let life = timers.expires.unwrap() - now;
            prop_assert!(life >= wait + bounds.retry.0, "a check fits in");
            for _ in 0..failures {
                let wait = timers.failed(now, Some(&soa), random, false);
                prop_assert!(wait >= bounds.retry.0 * 9 / 10 && wait <= bounds.retry.1);
            }
            prop_assert_eq!(timers.expires.unwrap() - now, life, "failures prolong nothing");
        }
    }
}
