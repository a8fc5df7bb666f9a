//! What lookups read of a shard without its lock: where to prefetch, and whether anything changed.

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use wire::HashIndex;
use wire::prefetch::fetch_place;

/// Hints of one shard.
pub(super) struct PrefetchHints {
    /// The address of the index's cells, for prefetches only: it may be out of date, so it is never
    /// dereferenced.
    cells: AtomicPtr<u64>,
    /// The number of cells.
    count: AtomicUsize,
    /// Version of the shard: the number of insertions.
    version: AtomicU32,
}

impl PrefetchHints {
    pub(super) fn new((cells, count): (*const u64, usize)) -> Self {
        Self {
            cells: AtomicPtr::new(cells.cast_mut()),
            count: AtomicUsize::new(count),
            version: AtomicU32::new(0),
        }
    }

    /// Notes an insertion. The caller holds the lock of the shard, so no two threads get here at once.
    #[inline]
    pub(super) fn update(&self, (cells, count): (*const u64, usize)) {
        self.cells.store(cells.cast_mut(), Ordering::Relaxed);
        self.count.store(count, Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
    }

    /// Version of the shard: a lookup that missed cannot hit before it changes.
    #[inline]
    pub(super) fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    /// Prefetches the first cell of `hash`.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let cell = HashIndex::cell_of(hash, self.count.load(Ordering::Relaxed));
        fetch_place(self.cells.load(Ordering::Relaxed).wrapping_add(cell), 1);
    }
}
