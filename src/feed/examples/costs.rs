//! What a feed costs: `cargo run --release -p catena-feed --example costs [ENDPOINTS...]`.
//!
//! Loads the services and endpoints of a cluster in one list, lists them again unchanged, and loads endpoints
//! that are an owner each. Then the address of one endpoint changes, many times, each in a batch of its own.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::print_stdout, reason = "prints what it measured")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

#[path = "../tests/cluster/mod.rs"]
mod cluster;

use std::time::{Duration, Instant};

use cluster::{Cluster, Records};

/// Changes that are measured one by one.
const CHANGES: usize = 2_000;

fn main() {
    let asked: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    for endpoints in if asked.is_empty() { vec![10_000, 160_000] } else { asked } {
        let cluster = Cluster::new();
        // Making names from text is not the feed's work.
        let stating = timed(|| cluster.state_only(endpoints / 15, endpoints));
        let first = timed(|| cluster.load(endpoints / 15, endpoints)).saturating_sub(stating);
        show(&format!("{endpoints} endpoints of {} services", endpoints / 15), &cluster, endpoints);
        let again = timed(|| cluster.load(endpoints / 15, endpoints)).saturating_sub(stating);
        println!("  list that is new {first:.1?}, unchanged {again:.1?}");

        let cluster = Cluster::new();
        let load = timed(|| cluster.load_single(endpoints));
        show(&format!("{endpoints} owners with one endpoint"), &cluster, endpoints);
        println!("  list that is new {load:.1?}, text to names included");
        let mut records = Records::default();
        let mut took: Vec<[Duration; 2]> = (0..CHANGES)
            .map(|round| {
                let started = Instant::now();
                let endpoint = round * 7919 % endpoints;
                let batch = cluster.move_single(endpoint, 4_000_000 + round, &mut records);
                let stated = started.elapsed();
                batch.commit(2_000 + round as u64).unwrap();
                [stated, started.elapsed() - stated]
            })
            .collect();
        for (what, index) in [("upsert, text to names included", 0), ("commit", 1)] {
            took.sort_unstable_by_key(|both| both[index]);
            let at = |part: usize| took[CHANGES * part / 1_000][index];
            println!("  one change, {what}: p50 {:.1?}, p99 {:.1?}", at(500), at(990));
        }
        show("  afterwards", &cluster, endpoints);
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

fn show(what: &str, cluster: &Cluster, endpoints: usize) {
    let usage = cluster.feed.usage();
    let (feed, zones) = (usage.feed_bytes, usage.zone_bytes);
    println!(
        "{what}: {} names, {} records; {feed} octets in the feed ({} each), {zones} in the zones ({} each)",
        usage.names,
        usage.records,
        feed / endpoints,
        zones / endpoints,
    );
}
