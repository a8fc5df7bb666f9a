//! A hash index: open addressing, eight octets a cell, so that most lookups read one cache line.
//!
//! It holds numbers only and knows no keys: the numbers are indexes into the caller's own storage, and the
//! caller compares the keys there.

use crate::prefetch::fetch;

/// Numbers by hash. At most three quarters of the cells are in use.
#[derive(Clone, Debug, Default)]
pub struct HashIndex {
    /// The tag in the upper half, the number plus one in the lower; zero is a free cell.
    cells: Box<[u64]>,
    len: usize,
}

const FREE: u64 = 0;
const SMALLEST: usize = 16;

impl HashIndex {
    /// The largest number that the index holds.
    pub const MAX: u32 = u32::MAX - 1;

    /// An index that is half full with `len` numbers: probe sequences are short, because this trades
    /// memory for them. Grows like any other.
    pub fn with_capacity(len: usize) -> Self {
        Self { cells: vec![FREE; (len * 2).max(2)].into(), len: 0 }
    }

    /// How many numbers are in the index.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no number is in the index.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Octets of memory that the cells take.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.cells)
    }

    /// The number under `hash` that `is_match` accepts.
    #[inline]
    pub fn find(&self, hash: u64, mut is_match: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut at = home(tag, self.cells.len());
        loop {
            let cell = *self.cells.get(at)?;
            if cell == FREE {
                return None;
            }
            if cell >> 32 == tag && is_match(number(cell)) {
                return Some(number(cell));
            }
            at = self.next(at);
        }
    }

    /// Adds a number that is not in the index yet.
    pub fn insert(&mut self, hash: u64, number: u32) {
        debug_assert!(number <= Self::MAX);
        if self.is_full() {
            self.resize((self.cells.len() * 2).max(SMALLEST));
        }
        self.place(tag(hash) << 32 | (u64::from(number) + 1));
        self.len += 1;
    }

    /// Removes a number. Cells behind it move up, so that no later lookup ends too early; the tag says how
    /// far each may move, without a look at its key.
    pub fn remove(&mut self, hash: u64, number: u32) {
        let cell = tag(hash) << 32 | (u64::from(number) + 1);
        let mut hole = home(tag(hash), self.cells.len());
        while self.cells.get(hole).is_some_and(|&found| found != cell) {
            if self.cells[hole] == FREE {
                return;
            }
            hole = self.next(hole);
        }
        if hole >= self.cells.len() {
            return;
        }
        self.len -= 1;
        let mut at = hole;
        loop {
            at = self.next(at);
            let cell = self.cells[at];
            if cell == FREE {
                break;
            }
            // A cell may move to the hole unless its home is behind the hole.
            let home = home(cell >> 32, self.cells.len());
            if self.distance(home, at) >= self.distance(hole, at) {
                self.cells[hole] = cell;
                hole = at;
            }
        }
        self.cells[hole] = FREE;
    }

    /// Makes room for so many numbers more, and takes no more memory for them than need be: for a caller who
    /// would rather grow often than double.
    pub fn reserve_exact(&mut self, more: usize) {
        let fitting = (self.len + more) * 4 / 3 + 2;
        if fitting > self.cells.len() {
            self.resize(fitting);
        }
    }

    /// Whether the next number makes the index grow.
    pub fn is_full(&self) -> bool {
        (self.len + 1) * 4 > self.cells.len() * 3
    }

    /// Frees the memory that growing took in advance.
    pub fn shrink_to_fit(&mut self) {
        let fitting = if self.len == 0 { 0 } else { self.len * 4 / 3 + 2 };
        if fitting < self.cells.len() {
            self.resize(fitting);
        }
    }

    /// Starts to fetch the cell that a lookup of `hash` reads first.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Some(cell) = self.cells.get(home(tag(hash), self.cells.len())) {
            fetch(cell);
        }
    }

    /// The number that a lookup of `hash` most likely finds: the one in its first cell if the tag matches.
    #[inline]
    pub fn first(&self, hash: u64) -> Option<u32> {
        let cell = *self.cells.get(home(tag(hash), self.cells.len()))?;
        (cell >> 32 == tag(hash) && cell != FREE).then(|| number(cell))
    }

    /// Where the cells are and how many, for prefetching through [`HashIndex::cell_of`] without a read of
    /// the index itself.
    #[inline]
    pub fn cells(&self) -> (*const u64, usize) {
        (self.cells.as_ptr(), self.cells.len())
    }

    /// The first cell that a lookup of `hash` reads in an index of so many cells.
    #[inline]
    pub fn cell_of(hash: u64, cells: usize) -> usize {
        home(tag(hash), cells)
    }

    fn resize(&mut self, cells: usize) {
        let old = std::mem::replace(&mut self.cells, vec![FREE; cells].into());
        for &cell in old.iter().filter(|&&cell| cell != FREE) {
            self.place(cell);
        }
    }

    fn place(&mut self, cell: u64) {
        let mut at = home(cell >> 32, self.cells.len());
        while self.cells[at] != FREE {
            at = self.next(at);
        }
        self.cells[at] = cell;
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.cells.len() { 0 } else { at + 1 }
    }

    /// Cells from `from` to `to`, around the end if need be.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.cells.len() - from }
    }
}

/// Half of the hash: enough to choose a cell and to tell nearly all other names apart.
#[inline]
const fn tag(hash: u64) -> u64 {
    hash & 0xFFFF_FFFF
}

/// Maps a tag to its cell by multiplication, so any number of cells will do.
#[inline]
const fn home(tag: u64, cells: usize) -> usize {
    ((tag * cells as u64) >> 32) as usize
}

#[inline]
const fn number(cell: u64) -> u32 {
    cell as u32 - 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Hashes that often collide, as a whole and in their home.
    fn hash_of(number: u32) -> u64 {
        u64::from(number % 7) << 29 | u64::from(number % 3)
    }

    #[derive(Clone, Debug)]
    enum Change {
        Insert(u32),
        Remove(u32),
        Shrink,
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            8 => (0u32..64).prop_map(Change::Insert),
            8 => (0u32..64).prop_map(Change::Remove),
            1 => Just(Change::Shrink),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_hash_map(
            changes in prop::collection::vec(change(), 1..300),
            capacity in 0usize..20,
        ) {
            let mut index = HashIndex::with_capacity(capacity);
            let mut model: HashMap<u32, u64> = HashMap::new();
            for change in changes {
                match change {
                    Change::Insert(number) => {
                        if model.insert(number, hash_of(number)).is_none() {
                            index.insert(hash_of(number), number);
                        }
                    }
                    Change::Remove(number) => {
                        model.remove(&number);
                        index.remove(hash_of(number), number);
                    }
                    Change::Shrink => index.shrink_to_fit(),
                }
                prop_assert_eq!(index.len(), model.len());
                for number in 0..64 {
                    let found = index.find(hash_of(number), |other| other == number);
                    prop_assert_eq!(found.is_some(), model.contains_key(&number));
                    let first = index.first(hash_of(number));
                    prop_assert!(first.is_none_or(|first| model.contains_key(&first)));
                }
            }
        }
    }

    #[test]
    fn an_index_without_cells_holds_nothing() {
        let mut index = HashIndex::default();
        index.prefetch(1);
        index.remove(1, 1);
        assert_eq!((index.find(1, |_| true), index.first(1)), (None, None));
    }

    #[test]
    fn an_index_grows_as_little_as_its_caller_wants() {
        let mut index = HashIndex::default();
        for number in 0..10_000 {
            if index.is_full() {
                index.reserve_exact(1 + index.len() / 8);
            }
            let before = index.memory();
            index.insert(hash_of(number) ^ u64::from(number) << 3, number);
            assert_eq!(index.memory(), before);
        }
        assert!(index.memory() < 8 * 15_100, "{}", index.memory());
        let found = |number| index.find(hash_of(number) ^ u64::from(number) << 3, |n| n == number);
        assert!((0..10_000).all(|number| found(number) == Some(number)));
    }

    #[test]
    fn memory_is_proportional_to_the_numbers() {
        let hash = |number: u32| crate::hash::mix(u64::from(number), 7);
        let mut index = HashIndex::default();
        (0..10_000).for_each(|number| index.insert(hash(number), number));
        index.shrink_to_fit();
        assert!(index.memory() < 8 * 13_400);
        let first = (0..10_000).filter(|&number| index.first(hash(number)) == Some(number)).count();
        assert!(first > 4_000, "only {first} numbers are in their first cell");
    }
}
