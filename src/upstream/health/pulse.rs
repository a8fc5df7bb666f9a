//! How fast an upstream answers, and whether it answers at all.
//!
//! The data comes from replies and from queries that wait. It is a few words that any worker writes
//! without a lock; a lost update is one sample less. This file must never know what follows from it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use wire::Moment;

/// When to look after a query to an upstream that has not answered any yet.
const UNKNOWN: Duration = Duration::from_millis(50);
/// Never look sooner.
const LEAST: Duration = Duration::from_millis(25);
/// The read timeout is so many times the longest time before the first look.
const SHARE: u32 = 8;
/// How many deviations from its usual time a query may take before somebody looks.
const DEVIATIONS: u64 = 8;
/// Looks in a row without a sign of life that make it silent.
const LOOKS: u32 = 3;
/// Looks closer to each other count once: queries that were sent together say the same.
const APART: u64 = 1_000_000;

/// What is known of one upstream.
#[derive(Default)]
pub(crate) struct Pulse {
    /// The smoothed time that it takes, and how much that varies, as RFC 6298 has them; microseconds
    /// in 32 bits each. Zero: nothing is known.
    times: AtomicU64,
    /// Looks since it was heard of last.
    looks: AtomicU32,
    /// When the last of them was.
    looked_at: AtomicU64,
    /// How its times are spread, if anybody wants to know.
    spread: Option<Spread>,
}

impl Pulse {
    /// With the time that `percentile` of a hundred queries do not exceed, if one is given.
    pub(crate) fn new(percentile: Option<u8>) -> Self {
        Self { spread: percentile.map(Spread::new), ..Self::default() }
    }

    /// A reply came after `took`.
    #[inline]
    pub(crate) fn beat(&self, took: Duration) {
        let took = micros(took);
        let (smooth, varies) = self.times();
        self.store(match smooth {
            0 => (took, took / 2),
            _ => {
                let off = took.abs_diff(smooth);
                (toward(smooth, took, 8), toward(varies, off, 4))
            }
        });
        if self.looks.load(Ordering::Relaxed) != 0 {
            self.looks.store(0, Ordering::Relaxed);
        }
        if let Some(spread) = &self.spread {
            spread.note(took);
        }
    }

    /// The upstream answered a health check after `took`: weaker evidence than an answered query.
    pub(crate) fn guess(&self, took: Duration) {
        if self.usual().is_none() {
            let took = micros(took);
            self.store((took, took / 2));
        }
    }

    /// The upstream had not answered after `waited`, when another one did: a lower bound of its time.
    pub(crate) fn outrun(&self, waited: Duration) {
        let waited = micros(waited);
        let (smooth, varies) = self.times();
        if waited > smooth {
            self.store((if smooth == 0 { waited } else { toward(smooth, waited, 2) }, varies));
        }
    }

    /// Its usual response time in microseconds; `None`: unknown.
    pub(crate) fn usual(&self) -> Option<u32> {
        Some(self.times().0).filter(|&smooth| smooth > 0)
    }

    /// How long a query waits before the upstream is checked for silence.
    #[inline]
    pub(crate) fn patience(&self, timeout: Duration) -> Duration {
        let most = timeout / SHARE;
        match self.times() {
            (0, _) => UNKNOWN.min(most),
            (smooth, varies) => {
                let late = u64::from(smooth) + DEVIATIONS * u64::from(varies);
                Duration::from_micros(late).clamp(LEAST.min(most), most)
            }
        }
    }

    /// The time that a reply may take before the query is hedged; `None`: not known yet.
    pub(crate) fn late(&self) -> Option<Duration> {
        self.spread.as_ref()?.late()
    }

    /// A query has waited longer than expected. `true`: so have all others, without any reply.
    pub(crate) fn look(&self, now: Moment) -> bool {
        if now.0.saturating_sub(self.looked_at.load(Ordering::Relaxed)) >= APART {
            self.looked_at.store(now.0, Ordering::Relaxed);
            self.looks.fetch_add(1, Ordering::Relaxed);
        }
        self.is_silent()
    }

    /// Whether nothing came although several looked.
    pub(crate) fn is_silent(&self) -> bool {
        self.looks.load(Ordering::Relaxed) >= LOOKS
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

/// Four buckets for each doubling, from 64 microseconds to four seconds.
const BUCKETS: usize = 64;
/// The shortest time that is told from shorter ones, as a power of two in microseconds.
const FIRST: u32 = 6;
/// The percentile is found anew after so many samples.
const EVERY: u32 = 64;
/// After so many the old ones count half.
const FADE: u32 = 1024;

/// How times are spread: a histogram of the recent ones.
struct Spread {
    percentile: u8,
    counts: [AtomicU32; BUCKETS],
    samples: AtomicU32,
    /// The percentile in microseconds; zero: too few samples.
    late: AtomicU32,
}

impl Spread {
    fn new(percentile: u8) -> Self {
        let counts = [const { AtomicU32::new(0) }; BUCKETS];
        Self { percentile, counts, samples: AtomicU32::new(0), late: AtomicU32::new(0) }
    }

    fn note(&self, took: u32) {
        self.counts[bucket(took)].fetch_add(1, Ordering::Relaxed);
        let samples = self.samples.fetch_add(1, Ordering::Relaxed) + 1;
        if samples.is_multiple_of(EVERY) {
            self.find(samples);
        }
    }

    /// Finds the percentile, and lets old samples fade.
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
        self.late.store(end_of(found.unwrap_or(BUCKETS - 1)), Ordering::Relaxed);
        if samples >= FADE {
            self.samples.store(0, Ordering::Relaxed);
            for (count, was) in self.counts.iter().zip(counts) {
                count.store(was / 2, Ordering::Relaxed);
            }
        }
    }

    fn late(&self) -> Option<Duration> {
        match self.late.load(Ordering::Relaxed) {
            0 => None,
            late => Some(Duration::from_micros(u64::from(late))),
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
        let pulse = Pulse::default();
        assert_eq!(pulse.patience(TIMEOUT), ms(50), "nothing is known");
        assert_eq!(pulse.patience(ms(200)), ms(25), "there must be time for another");
        for _ in 0..100 {
            pulse.beat(ms(1));
        }
        assert_eq!(pulse.usual(), Some(1000));
        assert_eq!(pulse.patience(TIMEOUT), ms(25));
        for round in 0..100 {
            pulse.beat(ms(if round % 2 == 0 { 20 } else { 40 }));
        }
        let patience = pulse.patience(TIMEOUT);
        assert!((ms(80)..ms(150)).contains(&patience), "{patience:?}");
        for _ in 0..100 {
            pulse.beat(ms(1500));
        }
        assert_eq!(pulse.patience(TIMEOUT), ms(250), "an eighth of the timeout at most");
    }

    #[test]
    fn silence_takes_several_looks_and_ends_with_a_reply() {
        let pulse = Pulse::default();
        let at = |millis: u64| Moment(1_000_000_000 + millis * 1_000_000);
        // What was sent together says the same.
        assert!((0..50).all(|_| !pulse.look(at(0))));
        assert!(!pulse.look(at(10)));
        pulse.beat(ms(5));
        assert!(!pulse.look(at(11)) && !pulse.look(at(12)));
        assert!(pulse.look(at(13)) && pulse.is_silent());
        pulse.beat(ms(5));
        assert!(!pulse.is_silent());
    }

    #[test]
    fn a_check_is_no_sign_of_life_for_queries() {
        let pulse = Pulse::default();
        (0..3).for_each(|at| assert_eq!(pulse.look(Moment(1_000_000_000 * (at + 1))), at == 2));
        pulse.guess(ms(4));
        assert_eq!(pulse.patience(TIMEOUT), ms(25));
        assert!(pulse.is_silent());
        pulse.guess(ms(400));
        assert_eq!(pulse.usual(), Some(4000));
    }

    #[test]
    fn who_is_outrun_takes_no_less() {
        let pulse = Pulse::default();
        pulse.outrun(ms(3));
        assert_eq!(pulse.usual(), Some(3000));
        pulse.outrun(ms(1));
        assert_eq!(pulse.usual(), Some(3000));
        pulse.outrun(ms(5));
        assert_eq!(pulse.usual(), Some(4000));
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
        let pulse = Pulse::new(Some(95));
        assert_eq!(pulse.late(), None);
        for round in 0..2000u32 {
            pulse.beat(ms(if round % 10 == 9 { 100 } else { 2 }));
        }
        let late = pulse.late().unwrap();
        assert!((ms(100)..ms(130)).contains(&late), "{late:?}");
        for _ in 0..8000 {
            pulse.beat(ms(2));
        }
        let late = pulse.late().unwrap();
        assert!((ms(2)..ms(3)).contains(&late), "{late:?}");
    }
}
