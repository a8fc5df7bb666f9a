//! The one store of the process: the entries of all blocks, within a number of octets.
//!
//! Each half of each block's cache is a space with a number of its own, which is a part of every key:
//! what one block keeps no other ever sees. A space has places for so many entries; the octets of all
//! spaces together are bounded. A block that goes gives its room back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard, Weak};

use chain::memory::{Holder, Memory};

use super::super::entry::{Entry, Key, TenantId};
use super::super::partition::Partition;
use super::hints::PrefetchHints;
use super::shard::Shard;

/// Parts, each with a lock of its own: workers rarely meet in one.
pub(super) const SHARDS: usize = 64;
/// Octets that one place of a space stands for.
pub(super) const OCTETS_PER_ENTRY: u64 = 1024;

/// The store.
pub(in crate::cache) struct SharedStore {
    pub(super) shards: [CacheAligned<RwLock<Shard>>; SHARDS],
    pub(super) hints: [PrefetchHints; SHARDS],
    /// Octets of all entries.
    octets: AtomicI64,
    /// Octets of all places of all spaces.
    capacity: AtomicU64,
    memory: Option<Arc<Memory>>,
    numbers: Mutex<Numbers>,
}

/// On cache lines that it shares with nothing else.
#[repr(align(64))]
pub(super) struct CacheAligned<T>(pub(super) T);
#[derive(Default)]
struct Numbers {
    next: u32,
    free: Vec<TenantId>,
    info: HashMap<TenantId, Arc<TenantInfo>>,
}

/// What a person knows a space by.
#[derive(Clone, Debug)]
pub(in crate::cache) struct TenantInfo {
    pub(in crate::cache) partition: Partition,
    pub(in crate::cache) zones: String,
    pub(in crate::cache) view: String,
}

impl SharedStore {
    /// An empty store, which takes no more than `memory` leaves to it.
    pub(in crate::cache) fn new(memory: Option<Arc<Memory>>) -> Arc<Self> {
        let shards: [Shard; SHARDS] = std::array::from_fn(|_| Shard::new());
        let hints = shards.each_ref().map(|shard| PrefetchHints::new(shard.cells_and_mask()));
        let shared = Arc::new(Self {
            shards: shards.map(|shard| CacheAligned(RwLock::new(shard))),
            hints,
            octets: AtomicI64::new(0),
            capacity: AtomicU64::new(0),
            memory,
            numbers: Mutex::default(),
        });
        if let Some(memory) = &shared.memory {
            memory.enter(Arc::downgrade(&shared) as Weak<dyn Holder>);
        }
        shared
    }

    /// A number for a space whose places stand for `octets`.
    pub(super) fn open(&self, octets: u64, info: TenantInfo) -> TenantId {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            TenantId(numbers.next)
        });
        numbers.info.insert(number, Arc::new(info));
        drop(numbers);
        self.capacity.fetch_add(octets, Ordering::Relaxed);
        number
    }

    /// Forgets the entries of a space that goes, and gives its number back.
    pub(super) fn close(&self, number: TenantId, octets: u64) {
        for index in 0..SHARDS {
            let held = self.write(index).clear(number);
            self.add(-(held as i64));
        }
        self.capacity.fetch_sub(octets, Ordering::Relaxed);
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.info.remove(&number);
        numbers.free.push(number);
    }

    /// Octets of all entries.
    pub(in crate::cache) fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed).max(0) as u64
    }

    /// How many octets they may have: one KiB for each place, and what the process's memory allows.
    pub(super) fn bound(&self) -> u64 {
        let capacity = self.capacity.load(Ordering::Relaxed);
        self.memory.as_ref().map_or(capacity, |memory| memory.for_stores().min(capacity))
    }

    /// Shows entries of all blocks until `show` says no.
    pub(in crate::cache) fn for_each(
        &self,
        mut show: impl FnMut(&Arc<Entry>, &TenantInfo) -> bool,
    ) {
        let info = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).info.clone();
        for index in 0..SHARDS {
            let part: Vec<Arc<Entry>> = self.entries_of(index, |_| true);
            let known = |entry: Arc<Entry>| Some((info.get(&entry.tenant())?, entry));
            for (info, entry) in part.into_iter().filter_map(known) {
                if !show(&entry, info) {
                    return;
                }
            }
        }
    }

    /// The entries of one shard that `which` says yes to.
    pub(super) fn entries_of(
        &self,
        index: usize,
        which: impl Fn(&Entry) -> bool,
    ) -> Vec<Arc<Entry>> {
        let shard = self.shards[index].0.read().unwrap_or_else(PoisonError::into_inner);
        shard.entries().filter(|entry| which(entry)).cloned().collect()
    }

    /// Forgets the entries of all blocks that `which` says yes to; how many answers that were.
    pub(in crate::cache) fn remove_where(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let mut answers = 0;
        for index in 0..SHARDS {
            let gone = self.write(index).remove_where(&which);
            self.add(-(gone.iter().map(|entry| entry.octets() as i64).sum::<i64>()));
            answers += gone.iter().filter(|entry| entry.is_answer()).count();
        }
        answers
    }

    pub(super) fn write(&self, index: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[index].0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, octets: i64) -> u64 {
        let before = self.octets.fetch_add(octets, Ordering::Relaxed);
        (before + octets).max(0) as u64
    }

    /// Lets entries go until there are at most `bound` octets, beginning with this shard, which is
    /// locked already; how many went.
    pub(super) fn make_room<'a>(
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

impl Holder for SharedStore {
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

/// The part for a key, the same in all spaces: both halves of a block look and change there under one lock.
#[inline]
pub(super) fn index(key: &Key<'_>) -> usize {
    (key.hash >> 58) as usize
}
