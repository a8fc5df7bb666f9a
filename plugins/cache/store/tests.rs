//! The shared store by itself.

use super::*;
use crate::cache::entry::{Content, Extras, Facts};
use chain::memory::Memory;
use exchange::Query;
use wire::{Class, Reply, Rtype};

/// A question by number: what would be a name is eight octets.
struct Asked {
    hash: u64,
    name: [u8; 8],
}

impl Asked {
    fn new(number: u64) -> Self {
        Self { hash: wire::hash::mix(number, 0x5EED), name: number.to_be_bytes() }
    }

    fn key(&self) -> Key<'_> {
        Key {
            hash: self.hash,
            name: &self.name,
            qtype: Rtype::A,
            class: Class::IN,
            bits: 0,
            subnet: None,
        }
    }
}

fn entry(asked: &Asked, tenant: &Tenant) -> Arc<Entry> {
    thread_local! {
        static EMPTY: Reply = {
            let (mut query, mut reply) = (Query::new(), Reply::new());
            query.make_subquery(&Query::new(), &[0], Rtype::A, false);
            reply.begin(&query);
            reply
        };
    }
    EMPTY.with(|reply| {
        let content = Content::of(reply, 300, Facts::default(), Extras::default());
        Entry::new(&asked.key(), tenant.id(), Moment(0), content).unwrap()
    })
}

/// Looks, and keeps what was not there: whether it was.
fn ask(tenant: &Tenant, number: u64) -> bool {
    let asked = Asked::new(number);
    if tenant.get(&asked.key()).is_some() {
        return true;
    }
    tenant.insert(entry(&asked, tenant));
    false
}

fn shared() -> Arc<SharedStore> {
    SharedStore::new(None)
}

fn tenant(shared: &Arc<SharedStore>, capacity: u64) -> Tenant {
    let about =
        TenantInfo { partition: Partition::Success, zones: ".".into(), view: String::new() };
    Tenant::new(shared, capacity, about)
}

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        wire::hash::mix(self.0, 0xD1CE) % sides
    }

    /// Small numbers more often: the n-th about 1/n as often as the first.
    fn zipf(&mut self, sides: u64) -> u64 {
        let share = self.roll(1 << 32) as f64 / f64::from(u32::MAX);
        ((sides as f64).powf(share) as u64).clamp(1, sides) - 1
    }
}

const HOT: u64 = 5_000;
/// CoreDNS's capacity without an option, rounded as there.
const CAPACITY: u64 = 9_984;

/// The share of hits among questions for the hot names, while each of them is followed by `scan`
/// names that nobody asks for twice.
fn hit_rate(names: u64, scan: u64, zipf: bool) -> f64 {
    let shared = shared();
    let tenant = tenant(&shared, CAPACITY);
    let mut dice = Dice(7);
    // Each was asked for once when the scan begins.
    let warm = (0..HOT).filter(|&name| ask(&tenant, name)).count();
    assert_eq!(warm, 0);
    let (mut hits, mut hot, mut next) = (0, 0, HOT);
    while next < HOT + names {
        let name = if zipf { dice.zipf(HOT) } else { dice.roll(HOT) };
        hits += u64::from(ask(&tenant, name));
        hot += 1;
        for _ in 0..scan {
            assert!(!ask(&tenant, next));
            next += 1;
        }
    }
    assert!(tenant.len() <= CAPACITY as usize);
    hits as f64 / hot as f64
}

#[test]
fn a_scan_leaves_the_names_in_use_alone() {
    for (scan, zipf) in [(1, false), (1, true), (10, false), (10, true)] {
        let rate = hit_rate(400_000, scan, zipf);
        assert!(rate > 0.99, "{scan} to 1, zipf {zipf}: {rate}");
    }
}

#[test]
fn what_is_asked_for_again_is_learnt_during_a_scan() {
    let shared = shared();
    let tenant = tenant(&shared, CAPACITY);
    let passing = (0..20_000).filter(|&name| ask(&tenant, 1_000_000 + name)).count();
    assert_eq!(passing, 0, "the cache is full of names that come once");
    let mut dice = Dice(1);
    let mut next = 2_000_000;
    let mut round = || {
        let mut hits = 0;
        for _ in 0..20_000 {
            hits += u32::from(ask(&tenant, dice.roll(HOT)));
            ask(&tenant, next);
            next += 1;
        }
        f64::from(hits) / 20_000.0
    };
    let rates = [round(), round(), round()];
    assert!(rates[2] > 0.99, "{rates:?}");
}

#[test]
fn blocks_never_see_each_others_entries() {
    let shared = shared();
    let (one, two) = (tenant(&shared, 1024), tenant(&shared, 1024));
    let asked = Asked::new(1);
    one.insert(entry(&asked, &one));
    assert!(one.get(&asked.key()).is_some());
    assert!(two.get(&asked.key()).is_none());
    two.insert(entry(&asked, &two));
    assert_eq!((one.len(), two.len()), (1, 1));
    two.insert_with(entry(&asked, &two), |shard| one.remove_in(shard, &asked.key()));
    assert_eq!((one.len(), two.len()), (0, 1));
    assert_eq!(shared.octets(), two.get(&asked.key()).unwrap().octets());
    assert!(one.peek(&asked.key()).is_none() && two.peek(&asked.key()).is_some());
}

#[test]
fn a_block_has_its_capacity_and_no_more() {
    let shared = shared();
    let (small, large) = (tenant(&shared, 1024), tenant(&shared, 10_000));
    for name in 0..20_000 {
        ask(&small, name);
        ask(&large, name);
    }
    assert_eq!((small.len(), large.len()), (1024, 9_984));
    let held = shared.octets();
    assert_eq!(held, (1024 + 9_984) * entry(&Asked::new(0), &small).octets());
}

#[test]
fn a_block_that_goes_gives_its_room_back() {
    let shared = shared();
    let (stays, goes) = (tenant(&shared, 1024), tenant(&shared, 1024));
    for name in 0..500 {
        ask(&stays, name);
        ask(&goes, name);
    }
    let held = shared.octets();
    let number = goes.id();
    drop(goes);
    assert_eq!(shared.octets() * 2, held);
    assert_eq!(stays.len(), 500);
    let next = tenant(&shared, 1024);
    assert_eq!((next.id(), next.len()), (number, 0));
    assert!(next.get(&Asked::new(1).key()).is_none(), "nothing is left of the one before");
}

#[test]
fn all_blocks_together_are_bounded() {
    let memory = Arc::new(Memory::new(2 << 20));
    let shared = SharedStore::new(Some(memory));
    let (one, two) = (tenant(&shared, CAPACITY), tenant(&shared, CAPACITY));
    let mut gone = 0;
    for name in 0..CAPACITY {
        gone += one.insert(entry(&Asked::new(name), &one)).any;
        gone += two.insert(entry(&Asked::new(name), &two)).any;
        assert!(shared.octets() <= 1 << 20);
    }
    let each = entry(&Asked::new(0), &one).octets();
    assert!(shared.octets() > (1 << 20) - 2 * each);
    assert_eq!(one.len() + two.len() + gone as usize, 2 * CAPACITY as usize);
    let halves = one.len() as f64 / two.len() as f64;
    assert!((0.8..1.25).contains(&halves), "{halves}");
}

#[test]
fn a_scan_of_one_block_leaves_the_other_alone_when_octets_are_short() {
    let memory = Arc::new(Memory::new(8 << 20));
    let shared = SharedStore::new(Some(memory));
    let (used, scanned) = (tenant(&shared, CAPACITY), tenant(&shared, 1_000_000));
    let mut dice = Dice(5);
    for name in 0..HOT {
        ask(&used, name);
        ask(&used, name);
    }
    let mut hits = 0;
    for name in 0..200_000 {
        hits += u32::from(ask(&used, dice.roll(HOT)));
        ask(&scanned, name);
    }
    let rate = f64::from(hits) / 200_000.0;
    assert!(rate > 0.99, "{rate}");
    assert!(shared.octets() <= 4 << 20);
}

#[test]
fn entries_go_when_memory_gets_short() {
    let memory = Arc::new(Memory::new(64 << 20));
    let shared = SharedStore::new(Some(Arc::clone(&memory)));
    let tenant = tenant(&shared, CAPACITY);
    (0..CAPACITY / 2).for_each(|name| assert!(!ask(&tenant, name)));
    let used = (0..500).filter(|&name| ask(&tenant, name)).count();
    assert_eq!((used, memory.held()), (500, shared.octets()));
    memory.set_store_budget(shared.octets() / 4);
    memory.evict();
    assert!(memory.held() <= memory.store_budget());
    let left = (0..500).filter(|&name| tenant.peek(&Asked::new(name).key()).is_some()).count();
    assert!(left > 490, "{left} of those that are in use");
    assert!(tenant.len() > CAPACITY as usize / 9, "and no more went than had to");
}

#[test]
fn what_is_there_is_shown_and_forgotten() {
    let shared = shared();
    let (one, two) = (tenant(&shared, 1024), tenant(&shared, 1024));
    for name in 0..300 {
        ask(&one, name);
        ask(&two, name);
    }
    let mut seen = 0;
    shared.for_each(|_, about| {
        seen += usize::from(about.zones == ".");
        seen < 450
    });
    assert_eq!(seen, 450, "until it is enough");
    let shards = (0..Tenant::shards()).map(|shard| one.entries_of(shard).len());
    assert_eq!(shards.sum::<usize>(), 300, "those of one block");
    let asked = Asked::new(7);
    assert_eq!(shared.remove_where(|entry| entry.key().name == asked.name), 2);
    assert_eq!((one.len(), two.len()), (299, 299));
    assert_eq!(shared.remove_where(|_| true), 598);
    assert_eq!((shared.octets(), one.len()), (0, 0));
    assert!(!ask(&one, 7) && ask(&one, 7), "and it goes on");
}
