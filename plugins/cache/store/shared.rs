//! The one store of the process: the entries of all blocks, within a number of octets.
//!
//! Each half of each block's cache is a space with a number of its own, which is a part of every key:
//! what one block keeps no other ever sees. A space has places for so many entries; the octets of all
//! spaces together are bounded. A block that goes gives its room back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use chain::memory::{Holder, Memory};
use wire::hash::mix;

use super::super::config::Half;
use super::super::entry::{Entry, Key};
use super::shard::Shard;

/// Parts, each with a lock of its own: workers rarely meet in one.
const SHARDS: usize = 64;
/// Octets that one place of a space stands for.
const PLACE: u64 = 1024;

/// The store.
pub(in crate::cache) struct Shared {
    shards: [RwLock<Shard>; SHARDS],
    /// Octets of all entries.
    octets: AtomicI64,
    /// Octets of all places of all spaces.
    asked: AtomicU64,
    memory: Option<Arc<Memory>>,
    numbers: Mutex<Numbers>,
}

/// Numbers of spaces: those given back are used again.
#[derive(Default)]
struct Numbers {
    next: u32,
    free: Vec<u32>,
    about: HashMap<u32, Arc<About>>,
}

/// What a person knows a space by.
#[derive(Clone, Debug)]
pub(in crate::cache) struct About {
    pub(in crate::cache) half: Half,
    pub(in crate::cache) zones: String,
    pub(in crate::cache) view: String,
}

/// How many entries a space has.
#[derive(Default)]
pub(in crate::cache) struct Tally {
    entries: AtomicUsize,
}

impl Tally {
    pub(super) fn grow(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn shrink(&self) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// An empty store, which takes no more than `memory` leaves to it.
    pub(in crate::cache) fn new(memory: Option<Arc<Memory>>) -> Arc<Self> {
        let shared = Arc::new(Self {
            shards: std::array::from_fn(|_| RwLock::new(Shard::new())),
            octets: AtomicI64::new(0),
            asked: AtomicU64::new(0),
            memory,
            numbers: Mutex::default(),
        });
        if let Some(memory) = &shared.memory {
            memory.enter(Arc::downgrade(&shared) as Weak<dyn Holder>);
        }
        shared
    }

    /// A new space for `capacity` entries.
    pub(in crate::cache) fn space(self: &Arc<Self>, capacity: u64, about: About) -> Space {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next
        });
        numbers.about.insert(number, Arc::new(about));
        drop(numbers);
        let octets = capacity.saturating_mul(PLACE);
        self.asked.fetch_add(octets, Ordering::Relaxed);
        let quota = usize::try_from(capacity / SHARDS as u64).unwrap_or(usize::MAX).max(1);
        Space { shared: Arc::clone(self), number, quota, octets, tally: Arc::default() }
    }

    /// Octets of all entries.
    pub(in crate::cache) fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed).max(0) as u64
    }

    /// How many octets they may have: one KiB for each place, and what the process's memory allows.
    fn bound(&self) -> u64 {
        let asked = self.asked.load(Ordering::Relaxed);
        self.memory.as_ref().map_or(asked, |memory| memory.for_stores().min(asked))
    }

    /// Shows entries of all blocks until `show` says no.
    pub(in crate::cache) fn each(&self, mut show: impl FnMut(&Arc<Entry>, &About) -> bool) {
        let about = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).about.clone();
        for index in 0..SHARDS {
            let part: Vec<Arc<Entry>> = self.part(index, |_| true);
            let known = |entry: Arc<Entry>| Some((about.get(&entry.space())?, entry));
            for (about, entry) in part.into_iter().filter_map(known) {
                if !show(&entry, about) {
                    return;
                }
            }
        }
    }

    /// The entries of one shard that `which` says yes to.
    fn part(&self, index: usize, which: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let shard = self.shards[index].read().unwrap_or_else(PoisonError::into_inner);
        shard.entries().filter(|entry| which(entry)).cloned().collect()
    }

    /// Forgets the entries of all blocks that `which` says yes to; how many answers that were.
    pub(in crate::cache) fn forget(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let mut answers = 0;
        for index in 0..SHARDS {
            let gone = self.write(index).remove_where(&which);
            self.add(-(gone.iter().map(|entry| entry.octets() as i64).sum::<i64>()));
            answers += gone.iter().filter(|entry| entry.is_answer()).count();
        }
        answers
    }

    #[inline]
    fn read(&self, hash: u64) -> RwLockReadGuard<'_, Shard> {
        self.shards[index(hash)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, index: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[index].write().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, octets: i64) -> u64 {
        let before = self.octets.fetch_add(octets, Ordering::Relaxed);
        (before + octets).max(0) as u64
    }

    /// Lets entries go until there are at most `bound` octets, beginning with this shard, which is
    /// locked already; how many went.
    fn make_room<'a>(
        &'a self,
        first: usize,
        mut shard: RwLockWriteGuard<'a, Shard>,
        bound: u64,
    ) -> u64 {
        let mut evicted = 0;
        for step in 1..=SHARDS {
            while self.octets() > bound {
                let Some(octets) = shard.evict_any() else { break };
                self.add(-(octets as i64));
                evicted += 1;
            }
            if self.octets() <= bound {
                break;
            }
            // Two are never locked at once.
            drop(shard);
            shard = self.write((first + step) % SHARDS);
        }
        evicted
    }
}

impl Holder for Shared {
    fn held(&self) -> u64 {
        self.octets()
    }

    fn let_go(&self) -> u64 {
        let bound = self.bound();
        let mut evicted = 0;
        // From each shard the same share, so that no part of the names is hit harder.
        let keep = bound as f64 / self.octets().max(1) as f64;
        for index in 0..SHARDS {
            let mut shard = self.write(index);
            let mut left = (shard.len() as f64 * (1.0 - keep)).ceil() as usize;
            while left > 0 && self.octets() > bound {
                let Some(octets) = shard.evict_any() else { break };
                self.add(-(octets as i64));
                evicted += 1;
                left -= 1;
            }
        }
        evicted
    }
}

#[inline]
fn index(hash: u64) -> usize {
    (hash >> 58) as usize
}

/// A half of a block's cache.
pub(in crate::cache) struct Space {
    shared: Arc<Shared>,
    number: u32,
    /// Entries in each shard.
    quota: usize,
    octets: u64,
    tally: Arc<Tally>,
}

/// What keeping an entry cost others.
pub(in crate::cache) struct Evicted {
    /// Entries of the same space.
    pub(in crate::cache) own: u64,
    /// Entries of any, because all together had too many octets.
    pub(in crate::cache) any: u64,
}

impl Space {
    /// Its number; every entry that is kept here has it.
    pub(in crate::cache) fn number(&self) -> u32 {
        self.number
    }

    /// How many entries it has.
    pub(in crate::cache) fn len(&self) -> usize {
        self.tally.entries.load(Ordering::Relaxed)
    }

    /// Octets that its places stand for.
    pub(in crate::cache) fn asked(&self) -> u64 {
        self.octets
    }

    /// In how many parts its entries are handed out.
    pub(in crate::cache) const fn parts() -> usize {
        SHARDS
    }

    /// The entries of one part.
    pub(in crate::cache) fn part(&self, index: usize) -> Vec<Arc<Entry>> {
        self.shared.part(index, |entry| entry.space() == self.number)
    }

    #[inline]
    fn hash(&self, key: &Key<'_>) -> u64 {
        mix(key.hash, u64::from(self.number))
    }

    /// The entry under `key`, which counts as used.
    #[inline]
    pub(in crate::cache) fn get(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        let hash = self.hash(key);
        let shard = self.shared.read(hash);
        let entry = shard.get(hash, key, self.number)?;
        entry.use_once();
        Some(Arc::clone(entry))
    }

    /// The entry under `key`, which does not count as used.
    pub(in crate::cache) fn peek(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        let hash = self.hash(key);
        self.shared.read(hash).get(hash, key, self.number).cloned()
    }

    /// Keeps an entry, which was made for this space.
    pub(in crate::cache) fn insert(&self, entry: Arc<Entry>) -> Evicted {
        let hash = self.hash(&entry.key());
        let mut shard = self.shared.write(index(hash));
        let bound = self.shared.bound();
        let roomy = self.shared.octets() < bound / 10 * 9;
        let change = shard.insert(hash, entry, &self.tally, self.quota, roomy);
        let octets = self.shared.add(change.octets);
        let any = if octets > bound { self.shared.make_room(index(hash), shard, bound) } else { 0 };
        Evicted { own: change.evicted, any }
    }

    /// Forgets the entry under `key`.
    pub(in crate::cache) fn remove(&self, key: &Key<'_>) {
        let hash = self.hash(key);
        let gone = self.shared.write(index(hash)).remove(hash, key, self.number);
        if let Some(entry) = gone {
            self.shared.add(-(entry.octets() as i64));
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        for index in 0..SHARDS {
            let octets = self.shared.write(index).clear(self.number);
            self.shared.add(-(octets as i64));
        }
        self.shared.asked.fetch_sub(self.octets, Ordering::Relaxed);
        let mut numbers = self.shared.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.about.remove(&self.number);
        numbers.free.push(self.number);
    }
}
