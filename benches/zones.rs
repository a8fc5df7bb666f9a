//! What the store of `zone` costs by itself: `cargo bench --bench zones [NAMES...]`.
//!
//! Builds a zone of as many names from memory, and looks 200,000 names up: one by one, and in batches
//! with the prefetch that the `file` plugin does.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::print_stdout, reason = "prints what it measured")]

#[path = "servers/data.rs"]
#[expect(dead_code, reason = "one of its zones is enough here")]
mod data;

use std::hint::black_box;
use std::time::Instant;

use exchange::Query;
use wire::{Name, Reply};
use zone::{Builder, PrefetchHints, Zone, master};

/// What `net` hands to the chain at once.
const BATCH: usize = 64;
const QUERIES: usize = 200_000;
const ROUNDS: usize = 7;

fn main() {
    let dir = std::env::temp_dir().join(format!("catena-zones-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
    let asked: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![10_000, 1_000_000] } else { asked };
    for names in sizes {
        let set = data::zone(&dir, "bench.lab.", names, QUERIES);
        let text = std::fs::read(&set.zone).expect("it was just written");
        let origin = Name::from_text(set.origin).expect("a name");
        let started = Instant::now();
        let zone = build(&origin, &text);
        let (built, bytes) = (started.elapsed(), zone.memory());
        println!("{names} names: read and built in {built:.0?}, {} bytes each", bytes / names);
        look_up(&zone, &set.queries);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn build(origin: &Name, text: &[u8]) -> Zone {
    let mut builder = Builder::new(origin, text.len() as u64);
    let options = master::Options::new(origin);
    let mut text = text;
    master::read(&mut text, &options, &master::NoIncludes, &mut |record| builder.add(record))
        .expect("the bench's own zone is right");
    builder.finish().unwrap_or_else(|_| panic!("the bench's own zone is complete"))
}

fn look_up(zone: &Zone, packets: &[Vec<u8>]) {
    let mut queries: Vec<Query> = (0..BATCH).map(|_| Query::new()).collect();
    let mut reply = Reply::new();
    let hints = PrefetchHints::default();
    hints.set(zone);
    let mut best = [usize::MAX; 2];
    for _ in 0..ROUNDS {
        let per_query = |started: Instant| started.elapsed().as_nanos() as usize / packets.len();
        let started = Instant::now();
        for packet in packets {
            let query = &mut queries[0];
            query.receive(packet).expect("a query");
            reply.begin(query);
            black_box(zone.answer(query, &mut reply));
        }
        best[0] = best[0].min(per_query(started));
        let started = Instant::now();
        for batch in packets.chunks(BATCH) {
            for (query, packet) in queries.iter_mut().zip(batch) {
                query.receive(packet).expect("a query");
            }
            let queries = &mut queries[..batch.len()];
            queries.iter().for_each(|query| hints.prefetch_bucket(query));
            queries.iter().for_each(|query| zone.prefetch_node(query));
            for query in queries {
                reply.begin(query);
                black_box(zone.answer(query, &mut reply));
            }
        }
        best[1] = best[1].min(per_query(started));
    }
    println!("  parse and answer: {} ns; in batches of {BATCH}: {} ns", best[0], best[1]);
}
