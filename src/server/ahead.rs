//! What a batch will read, asked for before the first query of it is answered.
//!
//! With one block everything but the data is at hand, and its plugins fetch that. With thousands of
//! blocks each query of a batch goes to another chain, and following its pointers one by one would
//! wait for memory dozens of times; so the whole batch takes each step together.

use std::sync::Arc;

use chain::{Batch, Chain};
use net::Slot;
use wire::Query;

use super::router::{Router, Target};

const MOST: usize = Batch::MOST;

/// Fetches what the router will read; bit `n` of `parsed` tells that query `n` is one.
pub(super) fn route(router: &Router, slots: &[Box<Slot>], parsed: u64) {
    for stage in 0..2 {
        for (at, slot) in slots.iter().enumerate() {
            if parsed >> at & 1 == 1 {
                router.prefetch(&slot.query, stage);
            }
        }
    }
}

/// Fetches what the chains will read.
pub(super) fn chains(slots: &[Box<Slot>], targets: &[Option<&Target>; MOST]) {
    let Some(first) = targets.iter().flatten().next() else { return };
    let same = |target: &&Target| {
        std::ptr::eq(*target, *first) || Arc::ptr_eq(&target.chain, &first.chain)
    };
    if targets.iter().flatten().all(same) {
        let mut queries = [&slots[0].query; MOST];
        let mut count = 0;
        for (slot, _) in slots.iter().zip(targets).filter(|(_, target)| target.is_some()) {
            queries[count] = &slot.query;
            count += 1;
        }
        let batch = Batch::new(&queries[..count]);
        (0..first.chain.prefetch_stages()).for_each(|stage| first.chain.prefetch(batch, stage));
        return;
    }
    for target in targets.iter().flatten() {
        target.chain.prefetch_head();
    }
    let groups = Groups::new(slots, targets);
    groups.each(|chain, _| chain.prefetch_plugins());
    let mut stage = 0;
    let mut stages = 1;
    while stage < stages {
        groups.each(|chain, batch| {
            stages = stages.max(chain.prefetch_stages());
            chain.prefetch(batch, stage);
        });
        stage += 1;
    }
}

/// The queries of a batch by chain.
struct Groups<'a> {
    /// Those of one chain follow each other.
    queries: [&'a Query; MOST],
    /// Each chain and where its queries end.
    chains: [Option<(&'a Chain, usize)>; MOST],
    count: usize,
}

impl<'a> Groups<'a> {
    fn new(slots: &'a [Box<Slot>], targets: &[Option<&'a Target>; MOST]) -> Self {
        // The group of each chain by a hash of its address, open addressing, never full.
        const ROOM: usize = MOST * 2;
        let mut known = [u8::MAX; ROOM];
        let mut chains: [Option<(&Chain, usize)>; MOST] = [None; MOST];
        let mut group_of = [u8::MAX; MOST];
        let mut count = 0;
        for (at, target) in targets.iter().enumerate() {
            let Some(target) = target else { continue };
            let chain: &Chain = &target.chain;
            let address = std::ptr::from_ref(chain).addr() as u64;
            let mut place = (wire::hash::mix(address, 1) >> 32) as usize % ROOM;
            let group = loop {
                match chains.get(usize::from(known[place])) {
                    Some(Some((other, _))) if std::ptr::eq(*other, chain) => break known[place],
                    Some(_) => place = (place + 1) % ROOM,
                    None => {
                        known[place] = count as u8;
                        chains[count] = Some((chain, 0));
                        count += 1;
                        break known[place];
                    }
                }
            };
            group_of[at] = group;
            if let Some((_, size)) = &mut chains[usize::from(group)] {
                *size += 1;
            }
        }
        // From sizes to starts; filling moves each start to its end.
        let mut start = 0;
        for (_, size) in chains.iter_mut().flatten() {
            start += std::mem::replace(size, start);
        }
        let mut queries = [&slots[0].query; MOST];
        for (slot, group) in slots.iter().zip(group_of) {
            if let Some(Some((_, end))) = chains.get_mut(usize::from(group)) {
                queries[*end] = &slot.query;
                *end += 1;
            }
        }
        Self { queries, chains, count }
    }

    fn each(&self, mut act: impl FnMut(&Chain, Batch<'_>)) {
        let mut start = 0;
        for (chain, end) in self.chains[..self.count].iter().flatten() {
            act(chain, Batch::new(&self.queries[start..*end]));
            start = *end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::Clock;
    use wire::{Moment, Name};

    #[test]
    fn queries_are_grouped_by_chain() {
        let clock = Clock { now: || Moment(0), unix: |_| 0 };
        let target = |chain: &Arc<Chain>| Target::new(Name::root(), Arc::clone(chain), 0);
        let chains: Vec<Arc<Chain>> =
            (0..5).map(|_| Arc::new(Chain::new(Vec::new(), clock))).collect();
        let of: Vec<Target> = (0..MOST).map(|at| target(&chains[at * at % 5])).collect();
        let mut slots: Vec<Box<Slot>> = (0..MOST).map(|_| Box::default()).collect();
        let mut targets = [None; MOST];
        for (at, slot) in slots.iter_mut().enumerate() {
            slot.query.key = at as u16;
            targets[at] = (at % 7 != 3).then(|| &of[at]);
        }
        let mut seen = 0u64;
        let mut last: Option<usize> = None;
        Groups::new(&slots, &targets).each(|chain, batch| {
            let group = chains.iter().position(|known| std::ptr::eq(&**known, chain)).unwrap();
            assert_ne!(last.replace(group), Some(group));
            assert!(batch.queries().count() > 0);
            for query in batch.queries() {
                let at = usize::from(query.key);
                assert_eq!((at * at % 5, at % 7 != 3), (group, true));
                assert_eq!(seen >> at & 1, 0, "each query once");
                seen |= 1 << at;
            }
        });
        assert_eq!(seen.count_ones() as usize, targets.iter().flatten().count());
    }
}
