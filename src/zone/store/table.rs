//! The hash table from names to nodes: buckets of eight slots, each bucket a cache line. A lookup that hits
//! reads one line here and a line or two of the arena.
//!
//! `wire::HashIndex` is not it: offsets into the arena need more than 32 bits, and a probe sequence must not
//! leave its cache line halfway.

/// Bits of a slot that hold the node's offset in the arena; the rest is a tag from the hash.
const OFFSET_BITS: u32 = 40;
const OFFSET: u64 = (1 << OFFSET_BITS) - 1;
const SLOTS: usize = 8;

/// One cache line. A zero slot is free, and all slots behind a free one are free.
#[repr(align(64))]
#[derive(Clone, Copy)]
pub(crate) struct Bucket([u64; SLOTS]);

/// Buckets by hash. A node whose bucket is full goes to the next one with a free slot.
#[derive(Default)]
pub(crate) struct Buckets(Box<[Bucket]>);

/// Buckets that are being filled.
pub(crate) struct Table {
    buckets: Buckets,
    used: usize,
}

impl Buckets {
    pub(crate) fn memory(&self) -> usize {
        self.0.len() * size_of::<Bucket>()
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        hash as usize & self.mask()
    }

    #[inline]
    fn mask(&self) -> usize {
        self.0.len().wrapping_sub(1)
    }

    /// The first bucket, and the mask that maps a hash to the number of its bucket.
    pub(crate) fn first(&self) -> (*const Bucket, usize) {
        (self.0.as_ptr(), self.mask())
    }

    /// The offset of a node in the hash's own bucket whose tag matches, or 0; without a branch, because it
    /// serves prefetching.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> u64 {
        let bucket = &self.0[self.index(hash)];
        bucket.0.iter().fold(0, |found, &slot| {
            let matches = slot >> OFFSET_BITS == hash >> OFFSET_BITS;
            if matches { slot & OFFSET } else { found }
        })
    }

    /// The offset of the first node whose tag matches and that `is_match` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_match: impl FnMut(u64) -> bool) -> Option<u64> {
        let mut index = self.index(hash);
        loop {
            for &slot in &self.0[index].0 {
                if slot == 0 {
                    return None;
                }
                if slot >> OFFSET_BITS == hash >> OFFSET_BITS && is_match(slot & OFFSET) {
                    return Some(slot & OFFSET);
                }
            }
            index = (index + 1) & self.mask();
        }
    }
}

impl Table {
    /// A table with room for `names` names.
    pub(crate) fn with_capacity(names: usize) -> Self {
        let buckets = ((names + names / 3) / SLOTS + 1).next_power_of_two();
        Self { buckets: Buckets(vec![Bucket([0; SLOTS]); buckets].into()), used: 0 }
    }

    /// An empty table of twice the size: as full as it may be, it becomes half as full.
    pub(crate) fn doubled(&self) -> Self {
        let buckets = vec![Bucket([0; SLOTS]); self.buckets.0.len() * 2];
        Self { buckets: Buckets(buckets.into()), used: 0 }
    }

    fn slots(&self) -> usize {
        self.buckets.0.len() * SLOTS
    }

    /// Whether one more name would exceed a load of three quarters.
    pub(crate) fn is_full(&self) -> bool {
        self.used + 1 > self.slots() / 4 * 3
    }

    /// Whether the load is below a quarter.
    pub(crate) fn is_sparse(&self) -> bool {
        self.buckets.0.len() > 8 && self.used < self.slots() / 4
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The buckets, complete.
    pub(crate) fn finish(self) -> Buckets {
        self.buckets
    }

    /// Starts to fetch the bucket of a hash.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        wire::prefetch::fetch_once(&self.buckets.0[self.buckets.index(hash)]);
    }

    /// The offset of the first node whose tag matches and that `is_match` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_match: impl FnMut(u64) -> bool) -> Option<u64> {
        self.buckets.find(hash, is_match)
    }

    /// Adds a node that is not in the table. The caller must see that the table is not full.
    pub(crate) fn insert(&mut self, hash: u64, offset: u64) {
        debug_assert!(offset != 0 && offset <= OFFSET && !self.is_full());
        let mut index = self.buckets.index(hash);
        loop {
            if let Some(free) = self.buckets.0[index].0.iter_mut().find(|slot| **slot == 0) {
                *free = hash >> OFFSET_BITS << OFFSET_BITS | offset;
                self.used += 1;
                return;
            }
            index = (index + 1) & self.buckets.mask();
        }
    }

    /// Replaces the offset of a node.
    pub(crate) fn relocate(&mut self, hash: u64, from: u64, to: u64) {
        let mut index = self.buckets.index(hash);
        for _ in 0..self.buckets.0.len() {
            for slot in &mut self.buckets.0[index].0 {
                if *slot & OFFSET == from {
                    *slot = *slot & !OFFSET | to;
                    return;
                }
            }
            index = (index + 1) & self.buckets.mask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserted_nodes_are_found() {
        let mut table = Table::with_capacity(1000);
        let hash = |n: u64| wire::hash::mix(n, 7);
        for n in 1..=1000 {
            table.insert(hash(n), n);
        }
        assert!(!table.is_sparse());
        for n in 1..=1000 {
            assert_eq!(table.find(hash(n), |offset| offset == n), Some(n));
            table.relocate(hash(n), n, n + 5000);
        }
        let doubled = table.doubled();
        assert_eq!((doubled.slots(), doubled.used()), (2 * table.slots(), 0));
        assert_eq!(table.find(hash(3), |offset| offset == 5003), Some(5003));
        assert_eq!(table.find(hash(2000), |_| false), None);
        let found = (1..=1000).filter(|&n| table.buckets.candidate(hash(n)) == n + 5000).count();
        assert!(found > 900, "few names are outside of their bucket");
    }
}
