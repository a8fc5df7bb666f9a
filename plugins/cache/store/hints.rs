//! What is known of a shard without its lock.

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use wire::HashIndex;
use wire::prefetch::fetch_place;

/// What is known of a part without its lock.
pub(super) struct Outline {
    /// Where the cells of its index are, and how many. Prefetch hints only, never dereferenced.
    cells: AtomicPtr<u64>,
    count: AtomicUsize,
    /// How often something was kept there.
    news: AtomicU32,
}

impl Outline {
    pub(super) fn new((cells, count): (*const u64, usize)) -> Self {
        Self {
            cells: AtomicPtr::new(cells.cast_mut()),
            count: AtomicUsize::new(count),
            news: AtomicU32::new(0),
        }
    }

    /// Something was kept. The part is still locked.
    #[inline]
    pub(super) fn note(&self, (cells, count): (*const u64, usize)) {
        self.cells.store(cells.cast_mut(), Ordering::Relaxed);
        self.count.store(count, Ordering::Relaxed);
        let news = self.news.load(Ordering::Relaxed);
        self.news.store(news.wrapping_add(1), Ordering::Relaxed);
    }

    /// How often something was kept there.
    #[inline]
    pub(super) fn news(&self) -> u32 {
        self.news.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let cell = HashIndex::cell_of(hash, self.count.load(Ordering::Relaxed));
        fetch_place(self.cells.load(Ordering::Relaxed).wrapping_add(cell), 1);
    }
}
