//! The order in which upstreams are tried.

use std::sync::atomic::{AtomicUsize, Ordering};

use net::random;

use crate::config::{MAX_UPSTREAMS, Policy};
use crate::roster::{Member, State, Upstream};

/// One query of so many also goes to another upstream than the fastest, to measure it.
const EXPLORE: usize = 32;
/// The same while the RTT of some upstreams is unknown.
const EXPLORE_UNKNOWN: usize = 4;

/// The state of a policy.
pub(crate) struct Selector {
    policy: Policy,
    /// The number of upstreams that a query may be sent to.
    most: usize,
    turn: AtomicUsize,
}

impl Selector {
    pub(crate) fn new(policy: Policy, most: Option<usize>) -> Self {
        Self { policy, most: most.unwrap_or(MAX_UPSTREAMS), turn: AtomicUsize::new(0) }
    }

    /// The order for one query, and the upstream that is queried beside the first one.
    fn order(&self, members: &[Member]) -> ([u8; MAX_UPSTREAMS], Option<u8>) {
        let weight = |index: u8| u64::from(members[usize::from(index)].weight);
        let usual = |index: u8| members[usize::from(index)].upstream.liveness.smoothed_rtt();
        self.arrange(members.len(), weight, usual)
    }

    /// The order for one query among `count` upstreams without history.
    pub(crate) fn order_of(&self, count: usize) -> [u8; MAX_UPSTREAMS] {
        self.arrange(count, |_| 1, |_| None).0
    }

    fn arrange(
        &self,
        count: usize,
        weight: impl Fn(u8) -> u64,
        usual: impl Fn(u8) -> Option<u32>,
    ) -> ([u8; MAX_UPSTREAMS], Option<u8>) {
        let count = count.min(MAX_UPSTREAMS);
        let mut all = [0; MAX_UPSTREAMS];
        for (place, index) in all.iter_mut().zip(0..count as u8) {
            *place = index;
        }
        let order = &mut all[..count];
        match self.policy {
            Policy::Sequential | Policy::Together(_) => {}
            // As in CoreDNS: the second upstream is the first one asked, and those behind the
            // chosen one keep their order.
            Policy::RoundRobin => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed).wrapping_add(1) % count.max(1);
                all[..=turn].rotate_right(1);
            }
            Policy::Random | Policy::Race(_) => shuffle(order),
            Policy::Weighted | Policy::WeightedTogether(_) => shuffle_weighted(order, weight),
            Policy::Fastest => {
                shuffle(order);
                // Few and nearly in order: sorting by insertion keeps equals as they are and needs
                // no memory.
                let key = |index: u8| usual(index).unwrap_or(u32::MAX);
                for at in 1..order.len() {
                    let mut here = at;
                    while here > 0 && key(order[here]) < key(order[here - 1]) {
                        order.swap(here, here - 1);
                        here -= 1;
                    }
                }
                let beside = self.explore(order, usual);
                return (all, beside);
            }
        }
        (all, None)
    }

    /// The upstream to measure, of those that are not queried anyway.
    fn explore(&self, order: &[u8], usual: impl Fn(u8) -> Option<u32>) -> Option<u8> {
        let others = order.get(1..).filter(|others| !others.is_empty())?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let unknown = others.iter().find(|&&index| usual(index).is_none());
        match unknown {
            Some(&index) => turn.is_multiple_of(EXPLORE_UNKNOWN).then_some(index),
            None if !turn.is_multiple_of(EXPLORE) => None,
            None => Some(others[turn / EXPLORE % others.len()]),
        }
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

/// Draws each place from the rest, by weight.
fn shuffle_weighted(order: &mut [u8], weight: impl Fn(u8) -> u64) {
    let mut left: u64 = order.iter().map(|&index| weight(index)).sum();
    for at in 0..order.len().saturating_sub(1) {
        let Ok(random) = random::bytes::<8>() else { return };
        let mut drawn = u64::from_le_bytes(random) % left.max(1);
        let chosen = order[at..].iter().position(|&index| match drawn.checked_sub(weight(index)) {
            Some(less) => {
                drawn = less;
                false
            }
            None => true,
        });
        let chosen = at + chosen.unwrap_or(0);
        left -= weight(order[chosen]);
        order.swap(at, chosen);
    }
}

/// The upstreams that one query may still try.
///
/// Healthy upstreams come first, in the policy's order; then those that just failed and are being
/// checked. An upstream that is down is skipped while any other is not; when all are down, the one
/// that failed longest ago comes first, and each is tried once.
pub(crate) struct Candidates<'a> {
    members: &'a [Member],
    order: [u8; MAX_UPSTREAMS],
    count: usize,
    beside: Option<u8>,
    tried: u64,
    /// The upstreams that have answered and are not queried again, one bit each.
    excluded: u64,
    max_fails: u32,
    /// Whether all upstreams were down at some point.
    pub(crate) all_down: bool,
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(members: &'a [Member], turns: &Selector, max_fails: u32) -> Self {
        let (order, beside) = turns.order(members);
        let count = members.len().min(turns.most);
        Self { members, order, count, beside, tried: 0, excluded: 0, max_fails, all_down: false }
    }

    /// The number of upstreams.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The number of upstreams that have not answered.
    pub(crate) fn left(&self) -> usize {
        self.count - self.excluded.count_ones() as usize
    }

    /// The next upstream to query. `None`: all are down and were tried.
    pub(crate) fn next(&mut self) -> Option<&'a Member> {
        if !self.all_down {
            if let Some(found) = self.next_untried() {
                return Some(found);
            }
            // A second pass over those that are not down.
            let tried = std::mem::take(&mut self.tried);
            if let Some(found) = self.next_untried() {
                return Some(found);
            }
            // An upstream that went down meanwhile has been tried already.
            self.tried = tried;
            self.all_down = true;
        }
        let left = self.order[..self.count].iter().map(|&index| usize::from(index));
        let untried = left.filter(|&index| (self.tried | self.excluded) >> index & 1 == 0);
        let index = untried.min_by_key(|&index| self.members[index].upstream.failed_at())?;
        self.tried |= 1 << index;
        Some(&self.members[index])
    }

    /// The next one that was not queried and is not down.
    pub(crate) fn next_untried(&mut self) -> Option<&'a Member> {
        let suspect = |one: &Upstream, max_fails| one.state(max_fails) == State::Suspect;
        self.next_healthy().or_else(|| self.first(suspect))
    }

    /// The next one that was not queried and is healthy.
    pub(crate) fn next_healthy(&mut self) -> Option<&'a Member> {
        self.first(Upstream::is_eligible)
    }

    /// The upstream that is queried beside the first; called once.
    pub(crate) fn beside(&mut self) -> Option<&'a Member> {
        let index = usize::from(self.beside.take()?);
        let member = &self.members[index];
        if self.tried >> index & 1 == 1 || member.upstream.state(self.max_fails) != State::Healthy {
            return None;
        }
        self.tried |= 1 << index;
        Some(member)
    }

    /// Whether any upstream that may still answer is healthy.
    pub(crate) fn any_healthy(&self) -> bool {
        let mut all = self.order[..self.count].iter().map(|&index| usize::from(index));
        all.any(|index| {
            let state = self.members[index].upstream.state(self.max_fails);
            self.excluded >> index & 1 == 0 && state == State::Healthy
        })
    }

    /// Excludes this upstream from further queries.
    pub(crate) fn exclude(&mut self, member: &Member) {
        if let Some(index) = self.members.iter().position(|one| std::ptr::eq(one, member)) {
            self.excluded |= 1 << index;
        }
    }

    fn first(&mut self, fits: impl Fn(&Upstream, u32) -> bool) -> Option<&'a Member> {
        let (max_fails, over) = (self.max_fails, self.tried | self.excluded);
        let mut left = self.order[..self.count].iter().map(|&index| usize::from(index));
        let found = left.find(|&index| {
            over >> index & 1 == 0 && fits(&self.members[index].upstream, max_fails)
        })?;
        self.tried |= 1 << found;
        Some(&self.members[found])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::tests::upstream;
    use std::sync::Arc;
    use std::time::Duration;

    fn ports(candidates: &mut Candidates<'_>, count: usize) -> Vec<u16> {
        (0..count)
            .filter_map(|_| candidates.next())
            .map(|one| one.upstream.address.port())
            .collect()
    }

    fn three() -> Vec<Member> {
        [1, 2, 3].map(|port| member(port, 1)).to_vec()
    }

    fn member(port: u16, weight: u32) -> Member {
        Member {
            upstream: Arc::new(upstream(port)),
            weight,
            read_timeout: Duration::from_secs(2),
            force_tcp: false,
            prefer_udp: false,
            check_every: Duration::from_millis(500),
        }
    }

    fn turns(policy: Policy) -> Selector {
        Selector::new(policy, None)
    }

    fn down(member: &Member) {
        member.upstream.failed(2);
        (0..3).for_each(|_| member.upstream.check_failed());
    }

    #[test]
    fn round_robin_starts_at_the_second_as_coredns_does() {
        let (turns, members) = (turns(Policy::RoundRobin), three());
        let orders: Vec<_> = (0..4).map(|_| turns.order(&members).0[..3].to_vec()).collect();
        assert_eq!(orders, [[1, 0, 2], [2, 0, 1], [0, 1, 2], [1, 0, 2]]);
    }

    #[test]
    fn random_orders_are_permutations_and_differ() {
        let members = three();
        for policy in [Policy::Random, Policy::Weighted, Policy::Race(2)] {
            let turns = turns(policy);
            let mut seen = std::collections::HashSet::new();
            for _ in 0..200 {
                let mut order = turns.order(&members).0[..3].to_vec();
                seen.insert(order.clone());
                order.sort_unstable();
                assert_eq!(order, [0, 1, 2]);
            }
            assert_eq!(seen.len(), 6, "{policy:?}");
        }
    }

    #[test]
    fn more_weight_comes_first_more_often() {
        let members = [member(1, 1), member(2, 3), member(3, 0)];
        let turns = turns(Policy::Weighted);
        let mut first = [0; 3];
        for _ in 0..4000 {
            first[usize::from(turns.order(&members).0[0])] += 1;
        }
        assert!((800..1200).contains(&first[0]) && first[2] == 0, "{first:?}");
    }

    #[test]
    fn the_fastest_is_first_and_others_are_looked_at() {
        let (turns, members) = (turns(Policy::Fastest), three());
        for (member, millis) in members.iter().zip([20, 5, 10]) {
            member.upstream.liveness.replied(Duration::from_millis(millis));
        }
        let mut beside = [0; 3];
        for _ in 0..640 {
            let (order, other) = turns.order(&members);
            assert_eq!(order[..3], [1, 2, 0]);
            if let Some(other) = other {
                beside[usize::from(other)] += 1;
            }
        }
        assert_eq!(beside, [10, 0, 10]);
        // An upstream with an unknown RTT comes last, and is measured soon.
        let members = [&members[..], &[member(4, 1)]].concat();
        let found = (0..8).filter(|_| turns.order(&members).1 == Some(3)).count();
        assert_eq!(found, 2);
    }

    #[test]
    fn who_just_failed_comes_last_and_who_is_down_not_at_all() {
        let members = three();
        members[0].upstream.failed(2);
        let turns = turns(Policy::Sequential);
        let mut candidates = Candidates::new(&members, &turns, 2);
        assert_eq!(ports(&mut candidates, 5), [2, 3, 1, 2, 3]);
        down(&members[1]);
        let mut candidates = Candidates::new(&members, &turns, 2);
        assert_eq!(ports(&mut candidates, 4), [3, 1, 3, 1]);
        assert!(!candidates.all_down);
    }

    #[test]
    fn when_all_are_down_the_one_that_failed_longest_ago_is_asked() {
        let members = three();
        for index in [2, 0, 1] {
            down(&members[index]);
        }
        let mut candidates = Candidates::new(&members, &turns(Policy::Random), 2);
        assert_eq!(ports(&mut candidates, 5), [3, 1, 2]);
        assert!(candidates.all_down);
        let mut candidates = Candidates::new(&members, &turns(Policy::Sequential), 0);
        assert_eq!(ports(&mut candidates, 2), [1, 2], "max_fails 0: none is ever down");
    }

    #[test]
    fn who_answered_is_not_asked_again() {
        let members = three();
        let turns = Selector::new(Policy::Sequential, Some(2));
        let mut candidates = Candidates::new(&members, &turns, 2);
        assert_eq!(candidates.count(), 2);
        let first = candidates.next().unwrap();
        candidates.exclude(first);
        assert_eq!(ports(&mut candidates, 3), [2, 2, 2], "and no more than two are");
        assert!(candidates.next_healthy().is_none());
    }
}
