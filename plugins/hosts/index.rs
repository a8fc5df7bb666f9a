//! A hash table that holds numbers only: what they stand for lies elsewhere, packed.

/// Numbers by hash. A slot is eight octets: half a hash, and the number plus one.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<u64>,
    len: usize,
}

impl Index {
    /// The number under `hash` that `is` says yes to.
    #[inline]
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut at = self.home(tag)?;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == tag && is(slot as u32 - 1) {
                return Some(slot as u32 - 1);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    /// Adds a number that is not there yet.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.resize((self.slots.len() * 2).max(16));
        }
        self.place(tag(hash) << 32 | (u64::from(number) + 1));
        self.len += 1;
    }

    /// Gives back the room that growing took in advance.
    pub(super) fn fit(&mut self) {
        if self.len > 0 {
            self.resize(self.len * 4 / 3 + 2);
        }
    }

    /// The slot where a search begins, for those who want it in the processor's cache.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Option<&u64> {
        self.slots.get(self.home(tag(hash))?)
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![0; slots]);
        for slot in old.into_iter().filter(|&slot| slot != 0) {
            self.place(slot);
        }
    }

    fn place(&mut self, slot: u64) {
        let Some(mut at) = self.home(slot >> 32) else { return };
        while self.slots[at] != 0 {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        self.slots[at] = slot;
    }

    /// Maps a tag to a slot without division; any number of slots will do.
    #[inline]
    fn home(&self, tag: u64) -> Option<usize> {
        (!self.slots.is_empty()).then(|| ((tag * self.slots.len() as u64) >> 32) as usize)
    }
}

/// Half of the hash, enough to find a place and to tell most others apart.
#[inline]
const fn tag(hash: u64) -> u64 {
    hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_is_found_and_nothing_else() {
        let hash = |n: u32| wire::hash::mix(u64::from(n), 7);
        let mut index = Index::default();
        assert_eq!(index.find(hash(1), |_| true), None);
        for number in 0..10_000 {
            index.insert(hash(number), number);
        }
        index.fit();
        assert!(index.slots.len() < 13_400);
        for number in 0..10_000 {
            assert_eq!(index.find(hash(number), |found| found == number), Some(number));
        }
        assert_eq!(index.find(hash(10_000), |found| found == 10_000), None);
    }
}
