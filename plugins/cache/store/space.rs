//! One half of one block's cache: a door to the shared store.

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use wire::hash::mix;
use wire::prefetch::fetch_lines;

use super::super::entry::{Entry, Key, SpaceId};
use super::quota::Tally;
use super::shard::{Change, Shard};
use super::shared::{About, PLACE, SHARDS, Shared, index};

/// A half of a block's cache.
pub(in crate::cache) struct Space {
    shared: Arc<Shared>,
    number: SpaceId,
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
    /// A new one for `capacity` entries.
    pub(in crate::cache) fn new(shared: &Arc<Shared>, capacity: u64, about: About) -> Self {
        let octets = capacity.saturating_mul(PLACE);
        let number = shared.open(octets, about);
        let quota = usize::try_from(capacity / SHARDS as u64).unwrap_or(usize::MAX).max(1);
        Self { shared: Arc::clone(shared), number, quota, octets, tally: Arc::default() }
    }

    /// Its number; every entry that is kept here has it.
    pub(in crate::cache) fn id(&self) -> SpaceId {
        self.number
    }

    /// How many entries it has.
    pub(in crate::cache) fn len(&self) -> usize {
        self.tally.len()
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
        mix(key.hash, u64::from(self.number.0))
    }

    /// Starts to fetch what [`Space::get`] reads first.
    #[inline]
    pub(in crate::cache) fn prefetch(&self, key: &Key<'_>) {
        // The lock, and where the table is.
        fetch_lines(&self.shared.shards[index(key)], 1);
        self.shared.outlines[index(key)].prefetch(self.hash(key));
    }

    /// A number that is another one as soon as anything was kept where entries under `key` lie.
    #[inline]
    pub(super) fn news(&self, key: &Key<'_>) -> u32 {
        self.shared.outlines[index(key)].news()
    }

    /// The part of the store that entries under `key` lie in, those of other spaces, too.
    #[inline]
    pub(super) fn part_of(&self, key: &Key<'_>) -> Part<'_> {
        Part(self.shared.shards[index(key)].0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The entry under `key`, which counts as used.
    #[inline]
    pub(in crate::cache) fn get(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.get_in(&self.part_of(key), key)
    }

    /// The entry under `key`, which does not count as used.
    pub(in crate::cache) fn peek(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.part_of(key).0.get(self.hash(key), key, self.number).cloned()
    }

    /// [`Space::get`] in the part of `key`.
    #[inline]
    pub(super) fn get_in(&self, part: &Part<'_>, key: &Key<'_>) -> Option<Arc<Entry>> {
        let entry = part.0.get(self.hash(key), key, self.number)?;
        entry.use_once();
        Some(Arc::clone(entry))
    }

    /// Starts to fetch what keeping an entry under `key`, in the part of that key, will read.
    pub(super) fn prepare(&self, part: &Part<'_>, key: &Key<'_>) {
        let is_tight = self.shared.octets() >= self.shared.bound() / 10 * 9;
        part.0.prepare(self.hash(key), self.number, self.quota, is_tight);
    }

    /// Keeps an entry, which was made for this space.
    pub(in crate::cache) fn insert(&self, entry: Arc<Entry>) -> Evicted {
        self.insert_beside(entry, |_| Change::default())
    }

    /// The same; `beside` it something else changes in the part of its key.
    pub(super) fn insert_beside(
        &self,
        entry: Arc<Entry>,
        beside: impl FnOnce(&mut Shard) -> Change,
    ) -> Evicted {
        let key = entry.key();
        let (hash, index) = (self.hash(&key), index(&key));
        let mut shard = self.shared.write(index);
        let bound = self.shared.bound();
        let roomy = self.shared.octets() < bound / 10 * 9;
        let change = shard.insert(hash, entry, &self.tally, self.quota, roomy);
        let other = beside(&mut shard);
        self.shared.outlines[index].note(shard.cells());
        let octets = self.shared.add(change.octets + other.octets);
        let any = if octets > bound { self.shared.make_room(index, shard, bound) } else { 0 };
        Evicted { own: change.evicted, any }
    }

    /// Forgets the entry under `key`, whose part this is.
    pub(super) fn remove_in(&self, part: &mut Shard, key: &Key<'_>) -> Change {
        let gone = part.remove(self.hash(key), key, self.number);
        Change { octets: gone.map_or(0, |entry| -(entry.octets() as i64)), evicted: 0 }
    }

    /// The entry under `key`, whose part this is; it does not count as used.
    pub(super) fn peek_in<'p>(&self, part: &'p Shard, key: &Key<'_>) -> Option<&'p Arc<Entry>> {
        part.get(self.hash(key), key, self.number)
    }
}

/// A part of the store, locked for looks.
pub(super) struct Part<'a>(RwLockReadGuard<'a, Shard>);

impl Drop for Space {
    fn drop(&mut self) {
        self.shared.close(self.number, self.octets);
    }
}
