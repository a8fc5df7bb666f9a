//! The hash table from names to nodes: cache lines of eight slots. A lookup that hits reads one
//! line here and a line or two of the arena.

/// Bits of a slot that say where the node is; the rest is a tag from the hash.
const PLACE_BITS: u32 = 40;
const PLACE: u64 = (1 << PLACE_BITS) - 1;
const SLOTS: usize = 8;

/// One cache line; a zero slot is free, and behind a free slot all are free.
#[repr(align(64))]
#[derive(Clone, Copy)]
pub(crate) struct Line([u64; SLOTS]);

/// Lines by hash; what does not fit its line lies in the next one that has room.
pub(crate) struct Table {
    lines: Box<[Line]>,
    used: usize,
}

impl Table {
    /// A table that takes `names` names before it is full.
    pub(crate) fn with_room(names: usize) -> Self {
        let lines = ((names + names / 3) / SLOTS + 1).next_power_of_two();
        Self { lines: vec![Line([0; SLOTS]); lines].into(), used: 0 }
    }

    fn slots(&self) -> usize {
        self.lines.len() * SLOTS
    }

    /// Whether one more name would make probing long.
    pub(crate) fn is_full(&self) -> bool {
        self.used + 1 > self.slots() / 4 * 3
    }

    /// Whether most of the table is air.
    pub(crate) fn is_sparse(&self) -> bool {
        self.lines.len() > 8 && self.used < self.slots() / 4
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn memory(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        hash as usize & (self.lines.len() - 1)
    }

    /// Where the lines are, and what leaves of a hash the number of its line.
    pub(crate) fn place(&self) -> (*const Line, usize) {
        (self.lines.as_ptr(), self.lines.len() - 1)
    }

    /// Starts to fetch the line of a hash.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        wire::prefetch::fetch_once(&self.lines[self.index(hash)]);
    }

    /// A node whose tag fits, 0 if the line of the hash has none; again without a branch.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> u64 {
        let line = &self.lines[self.index(hash)];
        line.0.iter().fold(0, |found, &slot| {
            let fits = slot >> PLACE_BITS == hash >> PLACE_BITS;
            if fits { slot & PLACE } else { found }
        })
    }

    /// The first node whose tag fits and that `is_it` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u64) -> bool) -> Option<u64> {
        let mut index = self.index(hash);
        loop {
            for &slot in &self.lines[index].0 {
                if slot == 0 {
                    return None;
                }
                if slot >> PLACE_BITS == hash >> PLACE_BITS && is_it(slot & PLACE) {
                    return Some(slot & PLACE);
                }
            }
            index = (index + 1) & (self.lines.len() - 1);
        }
    }

    /// Adds a node that is not there yet. The caller keeps the table from being full.
    pub(crate) fn insert(&mut self, hash: u64, place: u64) {
        debug_assert!(place != 0 && place <= PLACE && !self.is_full());
        let mut index = self.index(hash);
        loop {
            if let Some(free) = self.lines[index].0.iter_mut().find(|slot| **slot == 0) {
                *free = hash >> PLACE_BITS << PLACE_BITS | place;
                self.used += 1;
                return;
            }
            index = (index + 1) & (self.lines.len() - 1);
        }
    }

    /// Points the slot of a node elsewhere.
    pub(crate) fn move_to(&mut self, hash: u64, from: u64, to: u64) {
        let mut index = self.index(hash);
        for _ in 0..self.lines.len() {
            for slot in &mut self.lines[index].0 {
                if *slot & PLACE == from {
                    *slot = *slot & !PLACE | to;
                    return;
                }
            }
            index = (index + 1) & (self.lines.len() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_is_found() {
        let mut table = Table::with_room(1000);
        let hash = |n: u64| wire::hash::mix(n, 7);
        for n in 1..=1000 {
            table.insert(hash(n), n);
        }
        assert!(!table.is_sparse());
        for n in 1..=1000 {
            assert_eq!(table.find(hash(n), |place| place == n), Some(n));
            table.move_to(hash(n), n, n + 5000);
        }
        assert_eq!(table.find(hash(3), |place| place == 5003), Some(5003));
        assert_eq!(table.find(hash(2000), |_| false), None);
        let found = (1..=1000).filter(|&n| table.candidate(hash(n)) == n + 5000).count();
        assert!(found > 900, "few names lie outside of their line");
    }
}
