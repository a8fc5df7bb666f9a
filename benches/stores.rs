//! Which store serves a cache hit cheaper: moka or quick_cache?
//!
//! The road is that of the `cache` plugin: the hash of the question is there already, the key is
//! borrowed from the query, and what comes out is an `Arc` of the entry. 10,000 entries, each asked
//! for equally often. Prints nanoseconds per hit: the median of five rounds, the stores in turn.
//!
//! `cargo bench --bench stores`

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use quick_cache::{Equivalent, OptionsBuilder};

const ENTRIES: usize = 10_000;
const GETS: usize = 2_000_000;
const ROUNDS: usize = 5;

/// As flat as the plugin's entries: facts, name and records in one allocation.
struct Entry {
    hash: u64,
    qtype: u16,
    class: u16,
    bits: u8,
    name_len: u8,
    bytes: [u8; 64],
}

#[derive(Clone)]
struct Slot(Arc<Entry>);

struct Key {
    hash: u64,
    name: Vec<u8>,
    qtype: u16,
    class: u16,
    bits: u8,
}

fn same(key: &Key, entry: &Entry) -> bool {
    entry.hash == key.hash
        && entry.qtype == key.qtype
        && entry.class == key.class
        && entry.bits == key.bits
        && entry.bytes[..usize::from(entry.name_len)] == key.name[..]
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        a.hash == b.hash && a.bytes == b.bytes
    }
}

impl Eq for Slot {}

impl Equivalent<Slot> for Key {
    fn equivalent(&self, slot: &Slot) -> bool {
        same(self, &slot.0)
    }
}

/// The hash is mixed already.
#[derive(Clone, Copy, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Build = BuildHasherDefault<Mixed>;
type Quick = quick_cache::sync::Cache<Slot, Arc<Entry>, quick_cache::UnitWeighter, Build>;
type Moka = moka::sync::Cache<Slot, Arc<Entry>, Build>;

/// A question and its entry.
fn pair(number: u64) -> (Key, Arc<Entry>) {
    let hash = wire::hash::mix(number, 0x5EED);
    let name = format!("\x07host{:03}\x07example\x03org\0", number % 1000).into_bytes();
    let mut bytes = [0; 64];
    bytes[..name.len()].copy_from_slice(&name);
    let name_len = name.len() as u8;
    let qtype = (number / 1000) as u16;
    let entry = Entry { hash, qtype, class: 1, bits: 0, name_len, bytes };
    (Key { hash, name, qtype, class: 1, bits: 0 }, Arc::new(entry))
}

/// Nanoseconds per call of `get` with `threads` at once.
fn time(threads: usize, keys: &[Key], get: impl Fn(&Key) -> Option<Arc<Entry>> + Sync) -> f64 {
    let start = Barrier::new(threads);
    let each = |offset: usize| {
        start.wait();
        let begin = Instant::now();
        let mut at = offset * 31;
        let mut found = 0usize;
        for _ in 0..GETS {
            // A stride that is prime to the number of keys: no two neighbours in a row.
            at = (at + 7919) % keys.len();
            found += usize::from(black_box(get(&keys[at])).is_some());
        }
        let spent = begin.elapsed().as_nanos() as f64 / GETS as f64;
        assert_eq!(found, GETS, "every get is a hit");
        spent
    };
    std::thread::scope(|scope| {
        let each = &each;
        let runs: Vec<_> = (0..threads).map(|n| scope.spawn(move || each(n))).collect();
        let times: Vec<f64> = runs.into_iter().filter_map(|run| run.join().ok()).collect();
        times.iter().sum::<f64>() / times.len() as f64
    })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "a bench reports on standard output")]
fn main() {
    let (keys, entries): (Vec<Key>, Vec<Arc<Entry>>) = (0..ENTRIES as u64).map(pair).unzip();
    let Ok(options) = OptionsBuilder::new()
        .shards(64)
        .estimated_items_capacity(2 * ENTRIES)
        .weight_capacity(2 * ENTRIES as u64)
        .build()
    else {
        return;
    };
    let quick = Quick::with_options(
        options,
        quick_cache::UnitWeighter,
        Build::default(),
        quick_cache::sync::DefaultLifecycle::default(),
    );
    let moka: Moka = moka::sync::Cache::builder()
        .max_capacity(2 * ENTRIES as u64)
        .build_with_hasher(Build::default());
    for entry in &entries {
        quick.insert(Slot(Arc::clone(entry)), Arc::clone(entry));
        moka.insert(Slot(Arc::clone(entry)), Arc::clone(entry));
    }
    moka.run_pending_tasks();
    for threads in [1, 2] {
        let (mut of_quick, mut of_moka) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            of_moka.push(time(threads, &keys, |key| moka.get(key)));
            of_quick.push(time(threads, &keys, |key| quick.get(key)));
        }
        println!(
            "{threads} thread(s): moka {:.1} ns, quick_cache {:.1} ns per hit",
            median(of_moka),
            median(of_quick)
        );
    }
}
