//! What is known of a shard without its lock.

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use wire::prefetch::fetch_place;

use super::table::Cell;

/// What is known of a part without its lock.
pub(super) struct PrefetchHints {
    /// Where the cells of its table are, and what leaves of a hash the number of its first cell: to fetch that.
    /// Hints only, never followed.
    cells: AtomicPtr<Cell>,
    mask: AtomicUsize,
    /// How often something was kept there.
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

    /// Something was kept. The part is still locked.
    #[inline]
    pub(super) fn note(&self, (cells, mask): (*const Cell, usize)) {
        self.cells.store(cells.cast_mut(), Ordering::Relaxed);
        self.mask.store(mask, Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
    }

    /// How often something was kept there.
    #[inline]
    pub(super) fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let cell = hash as usize & self.mask.load(Ordering::Relaxed);
        fetch_place(self.cells.load(Ordering::Relaxed).wrapping_add(cell), 1);
    }
}
