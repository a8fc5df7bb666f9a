//! The open-addressed table from hashes to nodes: one word a slot, so a lookup that hits reads one
//! cache line here and one of the arena.

/// Bits of a slot that say where the node is; the rest is a tag from the hash.
const PLACE_BITS: u32 = 40;
const PLACE: u64 = (1 << PLACE_BITS) - 1;

/// Slots by hash; a zero slot is free.
pub(crate) struct Table {
    slots: Vec<u64>,
    used: usize,
}

impl Table {
    /// A table that takes `names` names before it is full.
    pub(crate) fn with_room(names: usize) -> Self {
        let slots = (names + names / 3).next_power_of_two().max(16);
        Self { slots: vec![0; slots], used: 0 }
    }

    /// Whether one more name would make probing long.
    pub(crate) fn is_full(&self) -> bool {
        self.used + 1 > self.slots.len() / 4 * 3
    }

    /// Whether most of the table is air.
    pub(crate) fn is_sparse(&self) -> bool {
        self.slots.len() > 64 && self.used < self.slots.len() / 4
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn memory(&self) -> usize {
        self.slots.capacity() * 8
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    /// The first node whose tag fits and that `is_it` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u64) -> bool) -> Option<u64> {
        let mut index = self.index(hash);
        loop {
            let slot = self.slots[index];
            if slot == 0 {
                return None;
            }
            if slot >> PLACE_BITS == hash >> PLACE_BITS && is_it(slot & PLACE) {
                return Some(slot & PLACE);
            }
            index = (index + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds a node that is not there yet. The caller keeps the table from being full.
    pub(crate) fn insert(&mut self, hash: u64, place: u64) {
        debug_assert!(place != 0 && place <= PLACE && !self.is_full());
        let mut index = self.index(hash);
        while self.slots[index] != 0 {
            index = (index + 1) & (self.slots.len() - 1);
        }
        self.slots[index] = hash >> PLACE_BITS << PLACE_BITS | place;
        self.used += 1;
    }

    /// Points the slot of a node elsewhere.
    pub(crate) fn move_to(&mut self, hash: u64, from: u64, to: u64) {
        let mut index = self.index(hash);
        while self.slots[index] & PLACE != from {
            if self.slots[index] == 0 {
                return;
            }
            index = (index + 1) & (self.slots.len() - 1);
        }
        self.slots[index] = self.slots[index] & !PLACE | to;
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
    }
}
