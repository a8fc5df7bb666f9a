//! In which order upstreams are tried.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::upstream::{State, Upstream};
use net::random;

/// Upstreams of one `forward`, files and host names expanded: the bits of a word.
pub(crate) const MAX_UPSTREAMS: usize = 64;

/// The policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A fresh order for each query.
    Random,
    /// Each query starts at the next one.
    RoundRobin,
    /// As written.
    Sequential,
}

/// A policy at work.
pub(crate) struct Policy {
    kind: Kind,
    turn: AtomicUsize,
}

impl Policy {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, turn: AtomicUsize::new(0) }
    }

    /// The order for one query among `count` upstreams.
    pub(crate) fn order(&self, count: usize) -> [u8; MAX_UPSTREAMS] {
        let mut order = [0; MAX_UPSTREAMS];
        for (place, index) in order.iter_mut().zip(0..count.min(MAX_UPSTREAMS) as u8) {
            *place = index;
        }
        match self.kind {
            Kind::Sequential => {}
            // As in CoreDNS: the second upstream is the first one asked, and those behind the
            // chosen one keep their order.
            Kind::RoundRobin => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed).wrapping_add(1) % count.max(1);
                order[..=turn].rotate_right(1);
            }
            Kind::Random => shuffle(&mut order[..count.min(MAX_UPSTREAMS)]),
        }
        order
    }
}

/// Fisher and Yates. A bias below 2^-24 does not matter here; without random numbers the order
/// stays.
fn shuffle(order: &mut [u8]) {
    for last in (1..order.len()).rev() {
        let Ok(random) = random::bytes::<4>() else { return };
        order.swap(last, u32::from_le_bytes(random) as usize % (last + 1));
    }
}

/// One query's way through the upstreams.
///
/// Those that are well come first, in the policy's order; then those that just failed and are being
/// checked. Those that are down are left out as long as any other is not; when all are, the one
/// that failed longest ago comes first, and each is tried once.
pub(crate) struct Walk<'a> {
    upstreams: &'a [std::sync::Arc<Upstream>],
    order: [u8; MAX_UPSTREAMS],
    tried: u64,
    max_fails: u32,
    /// Whether all upstreams were down at some point of the way.
    pub(crate) all_down: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        upstreams: &'a [std::sync::Arc<Upstream>],
        policy: &Policy,
        max_fails: u32,
    ) -> Self {
        let order = policy.order(upstreams.len());
        Self { upstreams, order, tried: 0, max_fails, all_down: false }
    }

    /// The next upstream to ask. `None`: all are down and were tried.
    pub(crate) fn next(&mut self) -> Option<&'a Upstream> {
        if !self.all_down {
            for state in [State::Well, State::Suspect] {
                if let Some(found) = self.first(|one, max| one.state(max) == state) {
                    return Some(found);
                }
            }
            // A second pass over those that are not down.
            let tried = std::mem::take(&mut self.tried);
            for state in [State::Well, State::Suspect] {
                if let Some(found) = self.first(|one, max| one.state(max) == state) {
                    return Some(found);
                }
            }
            // What went down on the way has been tried already.
            self.tried = tried;
            self.all_down = true;
        }
        let untried = (0..self.upstreams.len()).filter(|&index| self.tried >> index & 1 == 0);
        let index = untried.min_by_key(|&index| self.upstreams[index].failed_at())?;
        self.tried |= 1 << index;
        Some(&self.upstreams[index])
    }

    fn first(&mut self, fits: impl Fn(&Upstream, u32) -> bool) -> Option<&'a Upstream> {
        let max_fails = self.max_fails;
        let found =
            self.order[..self.upstreams.len()].iter().map(|&index| usize::from(index)).find(
                |&index| self.tried >> index & 1 == 0 && fits(&self.upstreams[index], max_fails),
            )?;
        self.tried |= 1 << found;
        Some(&self.upstreams[found])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::tests::upstream;
    use std::sync::Arc;

    fn ports(walk: &mut Walk<'_>, count: usize) -> Vec<u16> {
        (0..count).filter_map(|_| walk.next()).map(|one| one.address.port()).collect()
    }

    fn three() -> Vec<Arc<Upstream>> {
        [1, 2, 3].map(|port| Arc::new(upstream(port))).to_vec()
    }

    #[test]
    fn round_robin_starts_at_the_second_as_coredns_does() {
        let policy = Policy::new(Kind::RoundRobin);
        let orders: Vec<_> = (0..4).map(|_| policy.order(3)[..3].to_vec()).collect();
        assert_eq!(orders, [[1, 0, 2], [2, 0, 1], [0, 1, 2], [1, 0, 2]]);
    }

    #[test]
    fn random_orders_are_permutations_and_differ() {
        let policy = Policy::new(Kind::Random);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let mut order = policy.order(3)[..3].to_vec();
            seen.insert(order.clone());
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2]);
        }
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn who_just_failed_comes_last_and_who_is_down_not_at_all() {
        let upstreams = three();
        upstreams[0].failed(2);
        let policy = Policy::new(Kind::Sequential);
        let mut walk = Walk::new(&upstreams, &policy, 2);
        assert_eq!(ports(&mut walk, 5), [2, 3, 1, 2, 3]);
        for _ in 0..3 {
            upstreams[1].check_failed();
        }
        let mut walk = Walk::new(&upstreams, &policy, 2);
        assert_eq!(ports(&mut walk, 4), [3, 1, 3, 1]);
        assert!(!walk.all_down);
    }

    #[test]
    fn when_all_are_down_the_one_that_failed_longest_ago_is_asked() {
        let upstreams = three();
        for index in [2, 0, 1] {
            upstreams[index].failed(2);
            for _ in 0..3 {
                upstreams[index].check_failed();
            }
        }
        let policy = Policy::new(Kind::Random);
        let mut walk = Walk::new(&upstreams, &policy, 2);
        assert_eq!(ports(&mut walk, 5), [3, 1, 2]);
        assert!(walk.all_down);
        let mut walk = Walk::new(&upstreams, &Policy::new(Kind::Sequential), 0);
        assert_eq!(ports(&mut walk, 2), [1, 2], "max_fails 0: nobody is ever down");
    }
}
