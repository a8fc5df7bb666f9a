//! How many entries a tenant may have, and how many it has.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The limit of a tenant, and its use of it. All shards share it.
pub(in crate::cache) struct Quota {
    /// The limit in each shard.
    per_shard: usize,
    /// Entries in all shards.
    entries: AtomicUsize,
}

impl Quota {
    /// At most `capacity` entries, evenly split between `shards`, and at least one in each.
    pub(super) fn new(capacity: u64, shards: usize) -> Self {
        let per_shard = usize::try_from(capacity / shards as u64).unwrap_or(usize::MAX).max(1);
        Self { per_shard, entries: AtomicUsize::new(0) }
    }

    pub(super) fn per_shard(&self) -> usize {
        self.per_shard
    }

    pub(super) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Counts an entry that was added.
    pub(super) fn grow(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an entry that was removed.
    pub(super) fn shrink(&self) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }
}
