//! A hash table of indexes: open addressing, eight bytes a cell, so that most lookups read one cache
//! line.
//!
//! It knows neither keys nor entries: the caller compares in full.

use wire::prefetch::fetch;

/// No index.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
pub(super) struct Cell {
    /// The lower half of the hash, which also numbers the first cell: cells move without a read of the
    /// entry.
    tag: u32,
    at: u32,
}

const EMPTY: Cell = Cell { tag: 0, at: NONE };
const SMALLEST: usize = 16;

/// Indexes by hash.
pub(super) struct Table {
    /// A power of two, at most three quarters of them in use.
    cells: Vec<Cell>,
    len: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { cells: vec![EMPTY; SMALLEST], len: 0 }
    }

    #[inline]
    fn mask(&self) -> usize {
        self.cells.len() - 1
    }

    /// The address of the cells, and the bits of a hash that number its first cell.
    #[inline]
    pub(super) fn cells_and_mask(&self) -> (*const Cell, usize) {
        (self.cells.as_ptr(), self.mask())
    }

    /// Prefetches the first cell of `hash`.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        fetch(&self.cells[hash as usize & self.mask()]);
    }

    /// The first index under `hash` that `is` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let (mask, tag) = (self.mask(), hash as u32);
        let mut index = tag as usize & mask;
        loop {
            let cell = self.cells[index & mask];
            if cell.at == NONE {
                return None;
            }
            if cell.tag == tag && is(cell.at) {
                return Some(cell.at);
            }
            index = (index + 1) & mask;
        }
    }

    /// Adds an index that is not in the table yet.
    pub(super) fn insert(&mut self, hash: u64, at: u32) {
        if (self.len + 1) * 4 > self.cells.len() * 3 {
            let larger = vec![EMPTY; self.cells.len() * 2];
            let old = std::mem::replace(&mut self.cells, larger);
            old.into_iter().filter(|cell| cell.at != NONE).for_each(|cell| self.put(cell));
        }
        self.put(Cell { tag: hash as u32, at });
        self.len += 1;
    }

    fn put(&mut self, cell: Cell) {
        let mask = self.mask();
        let mut index = cell.tag as usize & mask;
        while self.cells[index].at != NONE {
            index = (index + 1) & mask;
        }
        self.cells[index] = cell;
    }

    /// Removes an index. The cells behind it move up, so that no lookup ends too early.
    pub(super) fn remove(&mut self, hash: u64, at: u32) {
        let mask = self.mask();
        let mut hole = hash as usize & mask;
        while self.cells[hole].at != at {
            if self.cells[hole].at == NONE {
                return;
            }
            hole = (hole + 1) & mask;
        }
        self.len -= 1;
        let mut index = hole;
        loop {
            index = (index + 1) & mask;
            let cell = self.cells[index];
            if cell.at == NONE {
                break;
            }
            let home = cell.tag as usize & mask;
            // A cell may move to the hole unless its home is behind the hole.
            if index.wrapping_sub(home) & mask >= index.wrapping_sub(hole) & mask {
                self.cells[hole] = cell;
                hole = index;
            }
        }
        self.cells[hole] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The table agrees with a set, with hashes that collide often.
        #[test]
        fn finds_what_was_put_in(steps in prop::collection::vec((any::<bool>(), 0u32..64), 1..400)) {
            let hash_of = |at: u32| u64::from(at % 7) | u64::from(at % 3) << 24;
            let mut table = Table::new();
            let mut known = std::collections::BTreeSet::new();
            for (put, at) in steps {
                if put && known.insert(at) {
                    table.insert(hash_of(at), at);
                } else if !put {
                    known.remove(&at);
                    table.remove(hash_of(at), at);
                }
                for at in 0..64 {
                    let found = table.find(hash_of(at), |other| other == at);
                    prop_assert_eq!(found.is_some(), known.contains(&at));
                }
                prop_assert_eq!(table.len, known.len());
            }
        }
    }
}
