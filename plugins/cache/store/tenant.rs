//! One half of one block's cache: a door to the shared store.

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use wire::hash::mix;
use wire::prefetch::fetch_lines;

use super::super::entry::{Entry, Key, TenantId};
use super::quota::Quota;
use super::shard::{Change, Shard};
use super::shared::{OCTETS_PER_ENTRY, SHARDS, SharedStore, TenantInfo, index};

/// A half of a block's cache.
pub(in crate::cache) struct Tenant {
    shared: Arc<SharedStore>,
    number: TenantId,
    /// Entries in each shard.
    quota: usize,
    octets: u64,
    quota_used: Arc<Quota>,
}

/// What keeping an entry cost others.
pub(in crate::cache) struct Evicted {
    /// Entries of the same space.
    pub(in crate::cache) own: u64,
    /// Entries of any, because all together had too many octets.
    pub(in crate::cache) any: u64,
}

impl Tenant {
    /// A new one for `capacity` entries.
    pub(in crate::cache) fn new(
        shared: &Arc<SharedStore>,
        capacity: u64,
        info: TenantInfo,
    ) -> Self {
        let octets = capacity.saturating_mul(OCTETS_PER_ENTRY);
        let number = shared.open(octets, info);
        let quota = usize::try_from(capacity / SHARDS as u64).unwrap_or(usize::MAX).max(1);
        Self { shared: Arc::clone(shared), number, quota, octets, quota_used: Arc::default() }
    }

    /// Its number; every entry that is kept here has it.
    pub(in crate::cache) fn id(&self) -> TenantId {
        self.number
    }

    /// How many entries it has.
    pub(in crate::cache) fn len(&self) -> usize {
        self.quota_used.len()
    }

    /// Octets that its places stand for.
    pub(in crate::cache) fn capacity(&self) -> u64 {
        self.octets
    }

    /// In how many parts its entries are handed out.
    pub(in crate::cache) const fn shards() -> usize {
        SHARDS
    }

    /// The entries of one part.
    pub(in crate::cache) fn entries_of(&self, index: usize) -> Vec<Arc<Entry>> {
        self.shared.entries_of(index, |entry| entry.tenant() == self.number)
    }

    #[inline]
    fn hash(&self, key: &Key<'_>) -> u64 {
        mix(key.hash, u64::from(self.number.0))
    }

    /// Starts to fetch what [`Tenant::get`] reads first.
    #[inline]
    pub(in crate::cache) fn prefetch(&self, key: &Key<'_>) {
        // The lock, and where the table is.
        fetch_lines(&self.shared.shards[index(key)], 1);
        self.shared.hints[index(key)].prefetch(self.hash(key));
    }

    /// A number that is another one as soon as anything was kept where entries under `key` lie.
    #[inline]
    pub(super) fn version(&self, key: &Key<'_>) -> u32 {
        self.shared.hints[index(key)].version()
    }

    /// The part of the store that entries under `key` lie in, those of other spaces, too.
    #[inline]
    pub(super) fn read_shard(&self, key: &Key<'_>) -> ReadShard<'_> {
        ReadShard(self.shared.shards[index(key)].0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The entry under `key`, which counts as used.
    #[inline]
    pub(in crate::cache) fn get(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.get_in(&self.read_shard(key), key)
    }

    /// The entry under `key`, which does not count as used.
    pub(in crate::cache) fn peek(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.read_shard(key).0.get(self.hash(key), key, self.number).cloned()
    }

    /// [`Tenant::get`] in the part of `key`.
    #[inline]
    pub(super) fn get_in(&self, shard: &ReadShard<'_>, key: &Key<'_>) -> Option<Arc<Entry>> {
        let entry = shard.0.get(self.hash(key), key, self.number)?;
        entry.touch();
        Some(Arc::clone(entry))
    }

    /// Starts to fetch what keeping an entry under `key`, in the part of that key, will read.
    pub(super) fn prefetch_insert(&self, shard: &ReadShard<'_>, key: &Key<'_>) {
        let is_tight = self.shared.octets() >= self.shared.bound() / 10 * 9;
        shard.0.prefetch_insert(self.hash(key), self.number, self.quota, is_tight);
    }

    /// Keeps an entry, which was made for this space.
    pub(in crate::cache) fn insert(&self, entry: Arc<Entry>) -> Evicted {
        self.insert_with(entry, |_| Change::default())
    }

    /// The same; `beside` it something else changes in the part of its key.
    pub(super) fn insert_with(
        &self,
        entry: Arc<Entry>,
        beside: impl FnOnce(&mut Shard) -> Change,
    ) -> Evicted {
        let key = entry.key();
        let (hash, index) = (self.hash(&key), index(&key));
        let mut shard = self.shared.write(index);
        let bound = self.shared.bound();
        let roomy = self.shared.octets() < bound / 10 * 9;
        let change = shard.insert(hash, entry, &self.quota_used, self.quota, roomy);
        let other = beside(&mut shard);
        self.shared.hints[index].note(shard.cells_and_mask());
        let octets = self.shared.add(change.octets + other.octets);
        let any = if octets > bound { self.shared.make_room(index, shard, bound) } else { 0 };
        Evicted { own: change.evicted, any }
    }

    /// Forgets the entry under `key`, whose part this is.
    pub(super) fn remove_in(&self, shard: &mut Shard, key: &Key<'_>) -> Change {
        let gone = shard.remove(self.hash(key), key, self.number);
        Change { octets: gone.map_or(0, |entry| -(entry.octets() as i64)), evicted: 0 }
    }

    /// The entry under `key`, whose part this is; it does not count as used.
    pub(super) fn peek_in<'p>(&self, shard: &'p Shard, key: &Key<'_>) -> Option<&'p Arc<Entry>> {
        shard.get(self.hash(key), key, self.number)
    }
}

/// A part of the store, locked for looks.
pub(super) struct ReadShard<'a>(RwLockReadGuard<'a, Shard>);

impl Drop for Tenant {
    fn drop(&mut self) {
        self.shared.close(self.number, self.octets);
    }
}
