//! Prefetches the memory that a batch of queries will read, before the first query is answered.
//!
//! With one server block, everything but the data is in the processor's cache, and the plugins
//! prefetch the data. With thousands of blocks, each query of a batch goes to another chain. Following
//! its pointers one by one would wait for memory dozens of times, so the whole batch takes each step
//! together.

use std::sync::Arc;

use chain::Batch;
use exchange::Exchange;

use super::router::{Router, Target};

const MOST: usize = Batch::MOST;

/// Fetches what the router will read; bit `n` of `parsed` tells that query `n` is one.
pub(super) fn route(router: &Router, slots: &[Box<Exchange>], parsed: u64) {
    for stage in 0..2 {
        for (at, slot) in slots.iter().enumerate() {
            if parsed >> at & 1 == 1 {
                router.prefetch(&slot.query, stage);
            }
        }
    }
}

/// Fetches what the chains will read.
pub(super) fn chains(slots: &[Box<Exchange>], targets: &[Option<&Target>; MOST]) {
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
    let each = || slots.iter().zip(targets).filter_map(|(slot, target)| Some((slot, (*target)?)));
    each().for_each(|(_, target)| target.chain.prefetch_head());
    let mut stages = 0;
    for (_, target) in each() {
        target.chain.prefetch_plugins();
        stages = stages.max(target.chain.prefetch_stages());
    }
    for stage in 0..stages {
        for (slot, target) in each() {
            target.chain.prefetch(Batch::new(&[&slot.query]), stage);
        }
    }
}
