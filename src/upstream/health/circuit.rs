//! The circuit breaker of an upstream that answers, but with errors: `circuit_breaker`.
//!
//! Answers with certain rcodes are counted. When too many of the recent answers have them, the circuit
//! opens and the upstream is skipped. After a while it gets one query at a time, until several in a
//! row are answered well. This file must never know the plugin, nor other failures of an upstream.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use wire::{Moment, Rcode};

use crate::config::Breaker;

/// Good answers in a row that close the circuit.
const PROOFS: u32 = 3;
/// The maximum number of times that the open time doubles.
const DOUBLINGS: u32 = 5;
/// A trial query without an outcome delays the next one for this time.
const TRIAL: Duration = Duration::from_secs(2);

/// The circuit of one upstream.
pub(crate) struct Circuit {
    rule: Breaker,
    /// When the window began: milliseconds in 32 bits, then answers and bad ones in 16 each.
    window: AtomicU64,
    /// When trial queries begin; zero: the circuit is closed.
    opens_until: AtomicU64,
    /// When the next trial query may be sent.
    trial_at: AtomicU64,
    /// How often it opened since it was last closed.
    opened: AtomicU32,
    /// Good answers in a row since it opened last.
    proofs: AtomicU32,
}

impl Circuit {
    /// A closed circuit.
    pub(crate) fn new(rule: Breaker) -> Self {
        Self {
            rule,
            window: AtomicU64::new(0),
            opens_until: AtomicU64::new(0),
            trial_at: AtomicU64::new(0),
            opened: AtomicU32::new(0),
            proofs: AtomicU32::new(0),
        }
    }

    /// Whether the circuit is closed: the upstream gets queries as usual.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.opens_until.load(Ordering::Relaxed) == 0
    }

    /// Whether this answer counts against the upstream.
    #[inline]
    pub(crate) fn counts(&self, rcode: Rcode) -> bool {
        self.rule.rcodes.contains(&rcode)
    }

    /// Whether a trial query may be sent; the circuit is open.
    pub(crate) fn admits(&self, now: Moment) -> bool {
        if now.0 < self.opens_until.load(Ordering::Relaxed) {
            return false;
        }
        let at = self.trial_at.load(Ordering::Relaxed);
        let next = now.plus(TRIAL).0;
        let (set, order) = (Ordering::Relaxed, Ordering::Relaxed);
        at <= now.0 && self.trial_at.compare_exchange(at, next, set, order).is_ok()
    }

    /// The upstream answered. `true`: the circuit opens now.
    pub(crate) fn answered(&self, rcode: Rcode, now: Moment) -> bool {
        let bad = self.counts(rcode);
        match self.opens_until.load(Ordering::Relaxed) {
            0 => self.count(bad, now) && self.open(0, now),
            // The query was sent before the circuit opened, or no other upstream was available.
            until if now.0 < until => false,
            until if bad => self.open(until, now),
            _ => {
                if self.proofs.fetch_add(1, Ordering::Relaxed) + 1 >= PROOFS {
                    self.opened.store(0, Ordering::Relaxed);
                    self.window.store(0, Ordering::Relaxed);
                    self.opens_until.store(0, Ordering::Relaxed);
                }
                self.trial_at.store(0, Ordering::Relaxed);
                false
            }
        }
    }

    fn open(&self, before: u64, now: Moment) -> bool {
        let times = self.opened.load(Ordering::Relaxed);
        let until = now.plus(self.rule.hold * (1 << times.min(DOUBLINGS))).0.max(1);
        let (set, order) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.opens_until.compare_exchange(before, until, set, order).is_err() {
            return false;
        }
        self.opened.store(times.saturating_add(1), Ordering::Relaxed);
        self.proofs.store(0, Ordering::Relaxed);
        self.trial_at.store(0, Ordering::Relaxed);
        true
    }

    /// Counts an answer. `true`: too many are bad.
    fn count(&self, bad: bool, now: Moment) -> bool {
        let millis = (now.0 / 1_000_000) as u32;
        let window = u32::try_from(self.rule.window.as_millis()).unwrap_or(u32::MAX);
        let step = |was: u64| {
            let (begun, all, failed) = ((was >> 32) as u32, was >> 16 & 0xFFFF, was & 0xFFFF);
            let over = was == 0 || millis.wrapping_sub(begun) >= window;
            let (begun, all, failed) = if over { (millis, 0, 0) } else { (begun, all, failed) };
            // Halving both keeps the ratio.
            let (all, failed) = if all == 0xFFFF { (all / 2, failed / 2) } else { (all, failed) };
            u64::from(begun) << 32 | (all + 1) << 16 | (failed + u64::from(bad))
        };
        let (set, order) = (Ordering::Relaxed, Ordering::Relaxed);
        // Cannot fail: the closure never returns `None`.
        let was = self.window.fetch_update(set, order, |was| Some(step(was))).unwrap_or(0);
        let counted = step(was);
        let (all, failed) = (counted >> 16 & 0xFFFF, counted & 0xFFFF);
        bad && all >= u64::from(self.rule.queries)
            && failed * 100 >= all * u64::from(self.rule.ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(1_000_000_000 + millis * 1_000_000)
    }

    const GOOD: Rcode = Rcode::NOERROR;
    const BAD: Rcode = Rcode::SERVFAIL;

    #[test]
    fn it_opens_when_too_many_are_bad() {
        let circuit = Circuit::new(Breaker::default());
        for millis in 0..100 {
            let rcode = if millis % 3 == 0 { BAD } else { GOOD };
            assert!(!circuit.answered(rcode, at(millis)), "a third is not half");
        }
        // Another window: nine are too few.
        for millis in 0..9 {
            assert!(!circuit.answered(BAD, at(20_000 + millis)));
        }
        assert!(circuit.is_closed());
        assert!(circuit.answered(Rcode::REFUSED, at(20_009)));
        assert!(!circuit.is_closed());
        assert!(!circuit.answered(BAD, at(20_010)), "it is open already");
    }

    #[test]
    fn it_is_tried_by_one_query_at_a_time() {
        let circuit = Circuit::new(Breaker::default());
        assert!((0..10).any(|millis| circuit.answered(BAD, at(millis))));
        assert!(!circuit.admits(at(900)));
        assert!(circuit.admits(at(1100)) && !circuit.admits(at(1100)));
        assert!(circuit.answered(BAD, at(1200)), "open again, for twice as long");
        assert!(!circuit.admits(at(3000)));
        for round in 0..3 {
            assert!(!circuit.is_closed());
            assert!(circuit.admits(at(3300 + round)));
            circuit.answered(GOOD, at(3300 + round));
        }
        assert!(circuit.is_closed());
        assert!(!circuit.answered(BAD, at(3400)), "counted from the start");
    }

    #[test]
    fn a_trial_that_is_never_heard_of_ends() {
        let circuit = Circuit::new(Breaker { queries: 1, ..Breaker::default() });
        assert!(circuit.answered(BAD, at(0)));
        assert!(circuit.admits(at(1500)));
        assert!(!circuit.admits(at(3400)));
        assert!(circuit.admits(at(3600)));
    }

    #[test]
    fn counts_do_not_overflow() {
        let circuit = Circuit::new(Breaker { ratio: 60, ..Breaker::default() });
        let mut both = [GOOD, BAD].into_iter().cycle();
        assert!((0..200_000).all(|_| !circuit.answered(both.next().unwrap_or(GOOD), at(1))));
    }
}
