//! The one store of the process: the entries of all blocks, within a bound in octets.
//!
//! Each partition of each block's cache is a tenant. Its number is part of every key, so no block
//! sees the entries of another. A tenant's quota bounds its entries; one bound applies to the octets
//! of all tenants together. A tenant that is dropped gives its room back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard, Weak};

use chain::memory::{Evictable, Memory};

use super::super::entry::{Entry, Key, TenantId};
use super::super::partition::Partition;
use super::hints::PrefetchHints;
use super::shard::Shard;

/// Shards, each with a lock of its own: two workers rarely need the same lock.
pub(super) const SHARDS: usize = 64;
/// Octets that one entry of a capacity stands for.
pub(super) const OCTETS_PER_ENTRY: u64 = 1024;

/// The entries of all tenants.
pub(in crate::cache) struct SharedStore {
    pub(super) shards: [CacheAligned<RwLock<Shard>>; SHARDS],
    pub(super) hints: [PrefetchHints; SHARDS],
    /// Octets of all entries.
    octets: AtomicI64,
    /// Octets that the capacities of all tenants stand for.
    capacity: AtomicU64,
    memory: Option<Arc<Memory>>,
    numbers: Mutex<Numbers>,
}

/// A value that shares its cache lines with nothing else.
#[repr(align(64))]
pub(super) struct CacheAligned<T>(pub(super) T);

/// The tenants and their numbers. A number is reused after its tenant is gone.
#[derive(Default)]
struct Numbers {
    next: u32,
    free: Vec<TenantId>,
    info: HashMap<TenantId, Arc<TenantInfo>>,
}

/// A tenant as the admin endpoint shows it.
#[derive(Clone, Debug)]
pub(in crate::cache) struct TenantInfo {
    pub(in crate::cache) partition: Partition,
    pub(in crate::cache) zones: String,
    pub(in crate::cache) view: String,
}

impl SharedStore {
    /// An empty store that stays within what `memory` allows.
    pub(in crate::cache) fn new(memory: Option<Arc<Memory>>) -> Arc<Self> {
        let shards: [Shard; SHARDS] = std::array::from_fn(|_| Shard::new());
        let hints = shards.each_ref().map(|shard| PrefetchHints::new(shard.cells()));
        let shared = Arc::new(Self {
            shards: shards.map(|shard| CacheAligned(RwLock::new(shard))),
            hints,
            octets: AtomicI64::new(0),
            capacity: AtomicU64::new(0),
            memory,
            numbers: Mutex::default(),
        });
        if let Some(memory) = &shared.memory {
            memory.register(Arc::downgrade(&shared) as Weak<dyn Evictable>);
        }
        shared
    }

    /// A number for a new tenant, whose capacity stands for `octets`.
    pub(super) fn register(&self, octets: u64, info: TenantInfo) -> TenantId {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let id = numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            TenantId(numbers.next)
        });
        numbers.info.insert(id, Arc::new(info));
        drop(numbers);
        self.capacity.fetch_add(octets, Ordering::Relaxed);
        id
    }

    /// Removes the entries of a tenant that is dropped, and makes its number available again.
    pub(super) fn release(&self, id: TenantId, octets: u64) {
        for index in 0..SHARDS {
            let held = self.write(index).clear(id);
            self.add(-(held as i64));
        }
        self.capacity.fetch_sub(octets, Ordering::Relaxed);
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.info.remove(&id);
        numbers.free.push(id);
    }

    /// Octets of all entries.
    pub(in crate::cache) fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed).max(0) as u64
    }

    /// The bound in octets: one KiB for each entry of the capacities, or less if memory is short.
    pub(super) fn bound(&self) -> u64 {
        let capacity = self.capacity.load(Ordering::Relaxed);
        self.memory.as_ref().map_or(capacity, |memory| memory.store_budget().min(capacity))
    }

    /// Calls `show` with entries of all tenants until it returns `false`.
    pub(in crate::cache) fn for_each(
        &self,
        mut show: impl FnMut(&Arc<Entry>, &TenantInfo) -> bool,
    ) {
        let info = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).info.clone();
        for index in 0..SHARDS {
            let entries: Vec<Arc<Entry>> = self.entries_of(index, |_| true);
            let known = |entry: Arc<Entry>| Some((info.get(&entry.tenant())?, entry));
            for (info, entry) in entries.into_iter().filter_map(known) {
                if !show(&entry, info) {
                    return;
                }
            }
        }
    }

    /// The entries of one shard that `which` selects.
    pub(super) fn entries_of(
        &self,
        index: usize,
        which: impl Fn(&Entry) -> bool,
    ) -> Vec<Arc<Entry>> {
        let shard = self.shards[index].0.read().unwrap_or_else(PoisonError::into_inner);
        shard.entries().filter(|entry| which(entry)).cloned().collect()
    }

    /// Removes the entries of all tenants that `which` selects. Returns the number of answers among them.
    pub(in crate::cache) fn remove_where(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let mut answers = 0;
        for index in 0..SHARDS {
            let removed = self.write(index).remove_where(&which);
            self.add(-(removed.iter().map(|entry| entry.octets() as i64).sum::<i64>()));
            answers += removed.iter().filter(|entry| entry.is_answer()).count();
        }
        answers
    }

    /// Locks a shard for changes.
    pub(super) fn write(&self, index: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[index].0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the octets of all entries. Returns the sum.
    pub(super) fn add(&self, octets: i64) -> u64 {
        let before = self.octets.fetch_add(octets, Ordering::Relaxed);
        (before + octets).max(0) as u64
    }

    /// Evicts entries until at most `bound` octets are in use, beginning with the shard `first`, which
    /// the caller has locked. Returns the number of evicted entries.
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
            // No thread holds two of these locks, or two threads could wait for each other.
            drop(shard);
            shard = self.write((first + step) % SHARDS);
        }
        evicted
    }
}

impl Evictable for SharedStore {
    fn held(&self) -> u64 {
        self.octets()
    }

    fn evict(&self) -> u64 {
        let bound = self.bound();
        let mut evicted = 0;
        // Each shard loses the same share.
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

/// The shard of a key. It is the same for all tenants, so one lock covers a name's answer and its denial.
#[inline]
pub(super) fn index(key: &Key<'_>) -> usize {
    (key.hash >> 58) as usize
}
