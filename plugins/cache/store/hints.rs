//! What lookups read of a shard without its lock: where to prefetch, and whether anything changed.

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use wire::prefetch::fetch_place;

use super::table::Cell;

/// Hints of one shard.
pub(super) struct PrefetchHints {
    /// The address of the table's cells, for prefetches only: it may be out of date, so it is never
    /// dereferenced.
    cells: AtomicPtr<Cell>,
    /// The bits of a hash that number its first cell.
    mask: AtomicUsize,
    /// Version of the shard: the number of insertions.
    version: AtomicU32,
}

impl PrefetchHints {
    pub(super) fn new((cells, mask): (*const Cell, usize)) -> Self {
        Self {
            cells: AtomicPtr::new(cells.cast_mut()),
            mask: AtomicUsize::new(mask),
            version: AtomicU32::new(0),
        }
    }

    /// Notes an insertion. The caller holds the lock of the shard, so no two threads get here at once.
    #[inline]
    pub(super) fn update(&self, (cells, mask): (*const Cell, usize)) {
        self.cells.store(cells.cast_mut(), Ordering::Relaxed);
        self.mask.store(mask, Ordering::Relaxed);
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
        let cell = hash as usize & self.mask.load(Ordering::Relaxed);
        fetch_place(self.cells.load(Ordering::Relaxed).wrapping_add(cell), 1);
    }
}
