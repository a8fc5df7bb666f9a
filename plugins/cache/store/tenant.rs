//! A tenant of the shared store: one partition of one block's cache, with a quota of its own.

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use wire::hash::mix;
use wire::prefetch::fetch_lines;

use super::super::entry::{Entry, Key, TenantId};
use super::quota::Quota;
use super::shard::{Change, Shard};
use super::shared::{OCTETS_PER_ENTRY, SHARDS, SharedStore, TenantInfo, index};

/// One partition of one block's cache.
pub(in crate::cache) struct Tenant {
    shared: Arc<SharedStore>,
    id: TenantId,
    quota: Arc<Quota>,
    /// Octets that its capacity stands for.
    octets: u64,
}

/// How many entries an insertion evicted.
pub(in crate::cache) struct Evicted {
    /// Entries of the same tenant, because its quota was reached.
    pub(in crate::cache) own: u64,
    /// Entries of any tenant, because all together had too many octets.
    pub(in crate::cache) any: u64,
}

impl Tenant {
    /// A new tenant with room for `capacity` entries.
    pub(in crate::cache) fn new(
        shared: &Arc<SharedStore>,
        capacity: u64,
        info: TenantInfo,
    ) -> Self {
        let octets = capacity.saturating_mul(OCTETS_PER_ENTRY);
        let id = shared.register(octets, info);
        let quota = Arc::new(Quota::new(capacity, SHARDS));
        Self { shared: Arc::clone(shared), id, quota, octets }
    }

    /// Its number, which is part of the key of all its entries.
    pub(in crate::cache) fn id(&self) -> TenantId {
        self.id
    }

    /// How many entries it has.
    pub(in crate::cache) fn len(&self) -> usize {
        self.quota.len()
    }

    /// Octets that its capacity stands for.
    pub(in crate::cache) fn capacity(&self) -> u64 {
        self.octets
    }

    /// The number of shards, for [`Tenant::entries_of`].
    pub(in crate::cache) const fn shards() -> usize {
        SHARDS
    }

    /// The entries in one shard.
    pub(in crate::cache) fn entries_of(&self, index: usize) -> Vec<Arc<Entry>> {
        self.shared.entries_of(index, |entry| entry.tenant() == self.id)
    }

    #[inline]
    fn hash(&self, key: &Key<'_>) -> u64 {
        mix(key.hash, u64::from(self.id.0))
    }

    /// Prefetches what [`Tenant::get`] reads first.
    #[inline]
    pub(in crate::cache) fn prefetch(&self, key: &Key<'_>) {
        // The line of the lock also has the address of the index.
        fetch_lines(&self.shared.shards[index(key)], 1);
        self.shared.hints[index(key)].prefetch(self.hash(key));
    }

    /// Version of the shard of `key`: a lookup that missed cannot hit before it changes.
    #[inline]
    pub(super) fn version(&self, key: &Key<'_>) -> u32 {
        self.shared.hints[index(key)].version()
    }

    /// Locks the shard of `key` for lookups. Entries of all tenants under `key` are in it.
    #[inline]
    pub(super) fn read_shard(&self, key: &Key<'_>) -> ReadShard<'_> {
        ReadShard(self.shared.shards[index(key)].0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The entry under `key`. The lookup counts as a use.
    #[inline]
    pub(in crate::cache) fn get(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.get_in(&self.read_shard(key), key)
    }

    /// The entry under `key`. The lookup does not count as a use.
    pub(in crate::cache) fn peek(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.read_shard(key).0.get(self.hash(key), key, self.id).cloned()
    }

    /// [`Tenant::get`] in the locked shard of `key`.
    #[inline]
    pub(super) fn get_in(&self, shard: &ReadShard<'_>, key: &Key<'_>) -> Option<Arc<Entry>> {
        let entry = shard.0.get(self.hash(key), key, self.id)?;
        entry.touch();
        Some(Arc::clone(entry))
    }

    /// Prefetches what [`Tenant::insert`] of an entry under `key` will read. `shard` is that of `key`.
    pub(super) fn prefetch_insert(&self, shard: &ReadShard<'_>, key: &Key<'_>) {
        let is_tight = self.shared.octets() >= self.shared.bound() / 10 * 9;
        shard.0.prefetch_insert(self.hash(key), self.id, &self.quota, is_tight);
    }

    /// Inserts an entry that was made for this tenant.
    pub(in crate::cache) fn insert(&self, entry: Arc<Entry>) -> Evicted {
        self.insert_with(entry, |_| Change::default())
    }

    /// [`Tenant::insert`], and `also` another change of the same shard under the same lock.
    pub(super) fn insert_with(
        &self,
        entry: Arc<Entry>,
        also: impl FnOnce(&mut Shard) -> Change,
    ) -> Evicted {
        let key = entry.key();
        let (hash, index) = (self.hash(&key), index(&key));
        let mut shard = self.shared.write(index);
        let bound = self.shared.bound();
        let has_room = self.shared.octets() < bound / 10 * 9;
        let change = shard.insert(hash, entry, &self.quota, has_room);
        let other = also(&mut shard);
        self.shared.hints[index].update(shard.cells());
        let octets = self.shared.add(change.octets + other.octets);
        let any = if octets > bound { self.shared.make_room(index, shard, bound) } else { 0 };
        Evicted { own: change.evicted, any }
    }

    /// Removes the entry under `key` from the locked shard of `key`.
    pub(super) fn remove_in(&self, shard: &mut Shard, key: &Key<'_>) -> Change {
        let removed = shard.remove(self.hash(key), key, self.id);
        Change { octets: removed.map_or(0, |entry| -(entry.octets() as i64)), evicted: 0 }
    }

    /// [`Tenant::peek`] in the locked shard of `key`.
    pub(super) fn peek_in<'p>(&self, shard: &'p Shard, key: &Key<'_>) -> Option<&'p Arc<Entry>> {
        shard.get(self.hash(key), key, self.id)
    }
}

/// A shard that is locked for lookups.
pub(super) struct ReadShard<'a>(RwLockReadGuard<'a, Shard>);

impl Drop for Tenant {
    fn drop(&mut self) {
        self.shared.release(self.id, self.octets);
    }
}
