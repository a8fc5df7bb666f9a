//! How fast an upstream answers, and whether it answers at all.
//!
//! The data comes from replies and from queries that wait. It is a few words that any worker writes
//! without a lock; a lost update costs one sample. This file must never know what follows from it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use wire::Moment;

/// A query to an upstream without a reply so far is late after this time.
const UNKNOWN: Duration = Duration::from_millis(50);
/// The shortest time after which a query is late.
const LEAST: Duration = Duration::from_millis(25);
/// The longest time after which a query is late, as a fraction of the read timeout.
const SHARE: u32 = 8;
/// A query is late when it exceeds the smoothed RTT by so many deviations.
const DEVIATIONS: u64 = 8;
/// Late queries in a row without any reply that make an upstream silent.
const SILENT_AFTER: u32 = 3;
/// Late queries closer to each other than this count once: they were sent together. In nanoseconds.
const APART: u64 = 1_000_000;

/// The response times of one upstream.
#[derive(Default)]
pub(crate) struct Liveness {
    /// The smoothed RTT and its variation (RFC 6298), in microseconds and 32 bits each. Zero: unknown.
    times: AtomicU64,
    /// Late queries since the last reply.
    late: AtomicU32,
    /// When the last of them was counted.
    late_at: AtomicU64,
    /// The distribution of the RTT, if `hedge` needs it.
    distribution: Option<Distribution>,
}

impl Liveness {
    /// With the distribution if a percentile is needed.
    pub(crate) fn new(percentile: Option<u8>) -> Self {
        Self { distribution: percentile.map(Distribution::new), ..Self::default() }
    }

    /// A reply arrived after `took`.
    #[inline]
    pub(crate) fn replied(&self, took: Duration) {
        let took = micros(took);
        let (smooth, varies) = self.times();
        self.store(match smooth {
            0 => (took, took / 2),
            _ => {
                let off = took.abs_diff(smooth);
                (toward(smooth, took, 8), toward(varies, off, 4))
            }
        });
        if self.late.load(Ordering::Relaxed) != 0 {
            self.late.store(0, Ordering::Relaxed);
        }
        if let Some(distribution) = &self.distribution {
            distribution.note(took);
        }
    }

    /// The upstream answered a health check after `took`: weaker evidence than an answered query.
    pub(crate) fn checked(&self, took: Duration) {
        if self.smoothed_rtt().is_none() {
            let took = micros(took);
            self.store((took, took / 2));
        }
    }

    /// Another upstream answered first after `waited`: a lower bound for this one's RTT.
    pub(crate) fn outrun(&self, waited: Duration) {
        let waited = micros(waited);
        let (smooth, varies) = self.times();
        if waited > smooth {
            self.store((if smooth == 0 { waited } else { toward(smooth, waited, 2) }, varies));
        }
    }

    /// The smoothed RTT in microseconds; `None`: unknown.
    pub(crate) fn smoothed_rtt(&self) -> Option<u32> {
        Some(self.times().0).filter(|&smooth| smooth > 0)
    }

    /// The time after which a query is late.
    #[inline]
    pub(crate) fn late_after(&self, timeout: Duration) -> Duration {
        let most = timeout / SHARE;
        match self.times() {
            (0, _) => UNKNOWN.min(most),
            (smooth, varies) => {
                let late = u64::from(smooth) + DEVIATIONS * u64::from(varies);
                Duration::from_micros(late).clamp(LEAST.min(most), most)
            }
        }
    }

    /// The percentile of the RTT that `hedge` names; `None`: unknown.
    pub(crate) fn percentile(&self) -> Option<Duration> {
        self.distribution.as_ref()?.found()
    }

    /// Counts a late query. `true`: several in a row were late, without any reply.
    pub(crate) fn note_late(&self, now: Moment) -> bool {
        if now.0.saturating_sub(self.late_at.load(Ordering::Relaxed)) >= APART {
            self.late_at.store(now.0, Ordering::Relaxed);
            self.late.fetch_add(1, Ordering::Relaxed);
        }
        self.is_silent()
    }

    /// Whether several queries in a row were late, without any reply.
    pub(crate) fn is_silent(&self) -> bool {
        self.late.load(Ordering::Relaxed) >= SILENT_AFTER
    }

    fn times(&self) -> (u32, u32) {
        let both = self.times.load(Ordering::Relaxed);
        ((both >> 32) as u32, both as u32)
    }

    fn store(&self, (smooth, varies): (u32, u32)) {
        let both = u64::from(smooth.max(1)) << 32 | u64::from(varies);
        self.times.store(both, Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1)
}

/// One `share`th of the way from `from` to `to`.
fn toward(from: u32, to: u32, share: i64) -> u32 {
    let step = (i64::from(to) - i64::from(from)) / share;
    // Between two numbers of 32 bits.
    (i64::from(from) + step) as u32
}

/// Buckets: four for each doubling, from 64 microseconds to four seconds.
const BUCKETS: usize = 64;
/// The upper bound of the first bucket, as a power of two in microseconds.
const FIRST: u32 = 6;
/// The percentile is computed after every so many samples.
const EVERY: u32 = 64;
/// After so many samples, the counts are halved.
const FADE: u32 = 1024;

/// The distribution of the recent RTTs: a histogram.
struct Distribution {
    percentile: u8,
    counts: [AtomicU32; BUCKETS],
    samples: AtomicU32,
    /// The percentile in microseconds; zero: too few samples.
    found: AtomicU32,
}

impl Distribution {
    fn new(percentile: u8) -> Self {
        let counts = [const { AtomicU32::new(0) }; BUCKETS];
        Self { percentile, counts, samples: AtomicU32::new(0), found: AtomicU32::new(0) }
    }

    fn note(&self, took: u32) {
        self.counts[bucket(took)].fetch_add(1, Ordering::Relaxed);
        let samples = self.samples.fetch_add(1, Ordering::Relaxed) + 1;
        if samples.is_multiple_of(EVERY) {
            self.find(samples);
        }
    }

    /// Computes the percentile, and halves the counts of old samples.
    #[cold]
    fn find(&self, samples: u32) {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let all: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let wanted = (all * u64::from(self.percentile)).div_ceil(100);
        let mut passed = 0;
        let found = counts.iter().position(|&count| {
            passed += u64::from(count);
            passed >= wanted
        });
        self.found.store(end_of(found.unwrap_or(BUCKETS - 1)), Ordering::Relaxed);
        if samples >= FADE {
            self.samples.store(0, Ordering::Relaxed);
            for (count, was) in self.counts.iter().zip(counts) {
                count.store(was / 2, Ordering::Relaxed);
            }
        }
    }

    fn found(&self) -> Option<Duration> {
        match self.found.load(Ordering::Relaxed) {
            0 => None,
            found => Some(Duration::from_micros(u64::from(found))),
        }
    }
}

fn bucket(took: u32) -> usize {
    let took = took.max(1 << FIRST);
    let power = took.ilog2();
    // The two bits behind the first.
    let quarter = took >> (power - 2) & 3;
    (((power - FIRST) * 4 + quarter) as usize).min(BUCKETS - 1)
}

/// The time at which the next bucket starts.
fn end_of(bucket: usize) -> u32 {
    let next = bucket as u32 + 1;
    let power = FIRST + next / 4;
    (1 << power) + ((next % 4) << (power - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn patience_follows_what_is_usual() {
        let liveness = Liveness::default();
        assert_eq!(liveness.late_after(TIMEOUT), ms(50), "nothing is known");
        assert_eq!(liveness.late_after(ms(200)), ms(25), "there must be time for another");
        for _ in 0..100 {
            liveness.replied(ms(1));
        }
        assert_eq!(liveness.smoothed_rtt(), Some(1000));
        assert_eq!(liveness.late_after(TIMEOUT), ms(25));
        for round in 0..100 {
            liveness.replied(ms(if round % 2 == 0 { 20 } else { 40 }));
        }
        let patience = liveness.late_after(TIMEOUT);
        assert!((ms(80)..ms(150)).contains(&patience), "{patience:?}");
        for _ in 0..100 {
            liveness.replied(ms(1500));
        }
        assert_eq!(liveness.late_after(TIMEOUT), ms(250), "an eighth of the timeout at most");
    }

    #[test]
    fn silence_takes_several_looks_and_ends_with_a_reply() {
        let liveness = Liveness::default();
        let at = |millis: u64| Moment(1_000_000_000 + millis * 1_000_000);
        // Queries that were sent together count once.
        assert!((0..50).all(|_| !liveness.note_late(at(0))));
        assert!(!liveness.note_late(at(10)));
        liveness.replied(ms(5));
        assert!(!liveness.note_late(at(11)) && !liveness.note_late(at(12)));
        assert!(liveness.note_late(at(13)) && liveness.is_silent());
        liveness.replied(ms(5));
        assert!(!liveness.is_silent());
    }

    #[test]
    fn a_check_is_no_sign_of_life_for_queries() {
        let liveness = Liveness::default();
        (0..3).for_each(|at| {
            assert_eq!(liveness.note_late(Moment(1_000_000_000 * (at + 1))), at == 2)
        });
        liveness.checked(ms(4));
        assert_eq!(liveness.late_after(TIMEOUT), ms(25));
        assert!(liveness.is_silent());
        liveness.checked(ms(400));
        assert_eq!(liveness.smoothed_rtt(), Some(4000));
    }

    #[test]
    fn who_is_outrun_takes_no_less() {
        let liveness = Liveness::default();
        liveness.outrun(ms(3));
        assert_eq!(liveness.smoothed_rtt(), Some(3000));
        liveness.outrun(ms(1));
        assert_eq!(liveness.smoothed_rtt(), Some(3000));
        liveness.outrun(ms(5));
        assert_eq!(liveness.smoothed_rtt(), Some(4000));
    }

    #[test]
    fn buckets_are_a_quarter_of_a_doubling_wide() {
        for took in [1, 64, 79, 80, 100, 1000, 4321, 250_000, 3_999_999] {
            let at = bucket(took);
            assert!(took < end_of(at), "{took}");
            assert!(at == 0 || took >= end_of(at - 1), "{took}");
        }
        assert_eq!(bucket(u32::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_percentile_is_found_and_follows() {
        let liveness = Liveness::new(Some(95));
        assert_eq!(liveness.percentile(), None);
        for round in 0..2000u32 {
            liveness.replied(ms(if round % 10 == 9 { 100 } else { 2 }));
        }
        let late = liveness.percentile().unwrap();
        assert!((ms(100)..ms(130)).contains(&late), "{late:?}");
        for _ in 0..8000 {
            liveness.replied(ms(2));
        }
        let late = liveness.percentile().unwrap();
        assert!((ms(2)..ms(3)).contains(&late), "{late:?}");
    }
}
