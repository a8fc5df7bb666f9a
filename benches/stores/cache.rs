//! What is measured, beside the plugin's own sources of the store.

#[path = "../../plugins/cache/entry/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the plugin uses all of it")]
mod entry;
#[path = "../../plugins/cache/partition.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the plugin uses all of it")]
mod partition;
#[path = "store.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the plugin uses all of it")]
mod store;
#[path = "../../plugins/cache/subnet.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the plugin uses all of it")]
mod subnet;

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use exchange::Query;
use quick_cache::{Equivalent, OptionsBuilder};
use wire::{Class, Moment, Rdata, Reply, Rtype, name};

use entry::{Content, Entry, Extras, Facts, Key, Mixed};
use store::{SharedStore, Tenant, TenantInfo};

const ENTRIES: usize = 10_000;
/// CoreDNS's capacity without an option, as it rounds it.
const CAPACITY: usize = 9_984;
const GETS: usize = 2_000_000;
const ROUNDS: usize = 5;

fn tenant(shared: &Arc<SharedStore>, capacity: u64) -> Tenant {
    let about = TenantInfo {
        partition: partition::Partition::Success,
        zones: String::new(),
        view: String::new(),
    };
    Tenant::new(shared, capacity, about)
}

/// A question: name, type and their hash.
struct Asked {
    hash: u64,
    name: Vec<u8>,
    qtype: Rtype,
}

impl Asked {
    fn new(number: u64) -> Self {
        let hash = wire::hash::mix(number, 0x5EED);
        let name = format!("\x08h{number:07}\x07example\x03org\0").into_bytes();
        Self { hash, name, qtype: Rtype::A }
    }

    fn key(&self) -> Key<'_> {
        let Self { hash, name, qtype } = self;
        Key { hash: *hash, name, qtype: *qtype, class: Class::IN, bits: 0, subnet: None }
    }
}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// An entry as its own key.
#[derive(Clone)]
struct Slot(Arc<Entry>);

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.key().hash);
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.0.matches(&other.0.key(), other.0.tenant())
    }
}

impl Eq for Slot {}

impl Equivalent<Slot> for Asked {
    fn equivalent(&self, slot: &Slot) -> bool {
        slot.0.matches(&self.key(), slot.0.tenant())
    }
}

type Build = BuildHasherDefault<Mixed>;
type Quick = quick_cache::sync::Cache<Slot, Arc<Entry>, quick_cache::UnitWeighter, Build>;
type Moka = moka::sync::Cache<Slot, Arc<Entry>, Build>;

/// A store of any kind.
trait Stores: Sync {
    fn get(&self, asked: &Asked) -> Option<Arc<Entry>>;
    fn put(&self, entry: Arc<Entry>);
}

impl Stores for Quick {
    fn get(&self, asked: &Asked) -> Option<Arc<Entry>> {
        Self::get(self, asked)
    }
    fn put(&self, entry: Arc<Entry>) {
        self.insert(Slot(Arc::clone(&entry)), entry);
    }
}

impl Stores for Moka {
    fn get(&self, asked: &Asked) -> Option<Arc<Entry>> {
        Self::get(self, asked)
    }
    fn put(&self, entry: Arc<Entry>) {
        self.insert(Slot(Arc::clone(&entry)), entry);
    }
}

impl Stores for Tenant {
    fn get(&self, asked: &Asked) -> Option<Arc<Entry>> {
        Self::get(self, &asked.key())
    }
    fn put(&self, entry: Arc<Entry>) {
        self.insert(entry);
    }
}

fn quick(capacity: usize) -> Quick {
    let options = OptionsBuilder::new()
        .shards(64)
        .estimated_items_capacity(capacity)
        .weight_capacity(capacity as u64)
        .build()
        .expect("both numbers are given");
    let lifecycle = quick_cache::sync::DefaultLifecycle::default();
    Quick::with_options(options, quick_cache::UnitWeighter, Build::default(), lifecycle)
}

fn moka(capacity: usize) -> Moka {
    moka::sync::Cache::builder().max_capacity(capacity as u64).build_with_hasher(Build::default())
}

/// Makes entries with an answer of one address.
struct Maker {
    reply: Reply,
    tenant: Arc<Tenant>,
}

impl Maker {
    fn new() -> Self {
        let (mut query, mut reply) = (Query::new(), Reply::new());
        query.make_subquery(&Query::new(), name!("a.org."), Rtype::A, false);
        reply.begin(&query);
        reply.answer(60, Rdata::A([0; 4].into()));
        Self { reply, tenant: Arc::new(tenant(&SharedStore::new(None), 1)) }
    }

    fn make(&self, asked: &Asked, tenant: &Tenant) -> Arc<Entry> {
        let content = Content::of(&self.reply, 60, Facts::default(), Extras::default());
        Entry::new(&asked.key(), tenant.id(), Moment(0), content).expect("a small answer")
    }
}

/// Nanoseconds per call of `get` with `threads` at once.
fn time(threads: usize, asked: &[Asked], store: &dyn Stores) -> f64 {
    let start = Barrier::new(threads);
    let each = |offset: usize| {
        start.wait();
        let begin = Instant::now();
        let mut at = offset * 31;
        let mut found = 0usize;
        for _ in 0..GETS {
            // A stride that is prime to the number of keys: no two neighbours in a row.
            at = (at + 7919) % asked.len();
            found += usize::from(black_box(store.get(&asked[at])).is_some());
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

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        wire::hash::mix(self.0, 0xD1CE) % sides
    }

    /// The n-th about 1/n as often as the first.
    fn zipf(&mut self, sides: u64) -> u64 {
        let share = self.roll(1 << 32) as f64 / f64::from(u32::MAX);
        ((sides as f64).powf(share) as u64).clamp(1, sides) - 1
    }
}

/// Questions in an order; `None` ends them. Those that count are `true`.
type Order = Box<dyn Iterator<Item = (u64, bool)>>;

const HOT: u64 = 5_000;

/// Hot names, with `scan` others after each that nobody asks for twice.
fn scanned(names: u64, scan: u64, zipf: bool, warm: bool) -> Order {
    let mut dice = Dice(7);
    let mut next = HOT;
    let first = (0..if warm { HOT } else { 0 }).map(|name| (name, false));
    Box::new(first.chain((0..names / scan).flat_map(move |_| {
        let hot = if zipf { dice.zipf(HOT) } else { dice.roll(HOT) };
        let from = next;
        next += scan;
        std::iter::once((hot, true)).chain((from..next).map(|name| (name, false)))
    })))
}

fn orders(names: u64) -> Vec<(&'static str, Order)> {
    let mut dice = Dice(3);
    vec![
        ("5,000 uniform, scan 1:1", scanned(names, 1, false, true)),
        ("5,000 uniform, scan 10:1", scanned(names, 10, false, true)),
        (
            "5,000 uniform, scan 10:1, full of other names at the start",
            scanned(names, 10, false, false),
        ),
        ("5,000 zipf, scan 1:1", scanned(names, 1, true, true)),
        ("5,000 zipf, scan 10:1", scanned(names, 10, true, true)),
        ("zipf of 1,000,000", Box::new((0..names).map(move |_| (dice.zipf(1_000_000), true)))),
        ("20,000 in a cycle", Box::new((0..names).map(|number| (number % 20_000, true)))),
        ("11,000 in a cycle", Box::new((0..names).map(|number| (number % 11_000, true)))),
    ]
}

/// The share of hits among the questions that count, in per cent.
fn hits(store: &dyn Stores, order: Order, make: impl Fn(&Asked) -> Arc<Entry>) -> f64 {
    let (mut hits, mut all) = (0u64, 0u64);
    for (number, counts) in order {
        let asked = Asked::new(number);
        let hit = store.get(&asked).is_some();
        if !hit {
            store.put(make(&asked));
        }
        if counts {
            hits += u64::from(hit);
            all += 1;
        }
    }
    100.0 * hits as f64 / all as f64
}

/// Measures everything.
#[expect(clippy::print_stdout, reason = "a bench reports on standard output")]
pub(crate) fn run() {
    let maker = Maker::new();
    let asked: Vec<Asked> = (0..ENTRIES as u64).map(Asked::new).collect();
    let shared = SharedStore::new(None);
    let ours = tenant(&shared, 2 * ENTRIES as u64);
    let (quick_cache, moka_cache) = (quick(2 * ENTRIES), moka(2 * ENTRIES));
    for one in &asked {
        ours.put(maker.make(one, &ours));
        quick_cache.put(maker.make(one, &maker.tenant));
        moka_cache.put(maker.make(one, &maker.tenant));
    }
    moka_cache.run_pending_tasks();
    for threads in [1, 2] {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            times[0].push(time(threads, &asked, &ours));
            times[1].push(time(threads, &asked, &quick_cache));
            times[2].push(time(threads, &asked, &moka_cache));
        }
        let [ours, quick, moka] = times.map(median);
        println!(
            "{threads} thread(s), ns per hit: ours {ours:.1}, quick_cache {quick:.1}, moka {moka:.1}"
        );
    }
    let names = std::env::var("NAMES").ok().and_then(|names| names.parse().ok());
    let names = names.unwrap_or(1_000_000);
    println!("hits in per cent, {names} queries or scanned names:");
    for (at, (title, _)) in orders(names).iter().enumerate() {
        let order = || orders(names).swap_remove(at).1;
        let shared = SharedStore::new(None);
        let ours = tenant(&shared, CAPACITY as u64);
        let ours = hits(&ours, order(), |asked| maker.make(asked, &ours));
        let other = |asked: &Asked| maker.make(asked, &maker.tenant);
        let quick = hits(&quick(CAPACITY), order(), other);
        let moka = hits(&moka(CAPACITY), order(), other);
        println!("{title}: ours {ours:.2}, quick_cache {quick:.2}, moka {moka:.2}");
    }
}
