//! A persistent map from names to entries: a trie over the bits of the name's hash, five at a level. A copy
//! shares everything with the original, and a change copies the path to its place: three or four short lists.
//!
//! `imbl` has such a map; its nodes have room for 32 slots each, which costs a changed name 250 bytes
//! where this takes 40.

use std::sync::Arc;

use super::entry::Entry;

/// Bits of the hash that choose a slot.
const BITS: u32 = 5;

/// Entries by name.
#[derive(Clone, Default)]
pub(crate) struct Names {
    root: Branch,
    len: usize,
    /// Bytes of the entries.
    bytes: usize,
}

#[derive(Clone)]
struct Branch {
    /// Bit `n` is set if there is a slot for the hash bits `n`.
    bitmap: u32,
    slots: Arc<[Slot]>,
}

#[derive(Clone)]
enum Slot {
    Entry(Entry),
    Branch(Branch),
    /// Names with the same hash.
    Same(Arc<[Entry]>),
}

impl Default for Branch {
    fn default() -> Self {
        Self { bitmap: 0, slots: Arc::new([]) }
    }
}

impl Names {
    /// The entry of a name, given as lower-case labels before the apex.
    #[inline]
    pub(crate) fn get(&self, hash: u64, name: &[u8]) -> Option<&Entry> {
        let mut branch = &self.root;
        let mut shift = 0;
        loop {
            match branch.slots.get(branch.place(hash, shift).ok()?)? {
                Slot::Entry(entry) => {
                    return (entry.hash() == hash && entry.node().name() == name).then_some(entry);
                }
                Slot::Branch(below) => branch = below,
                Slot::Same(entries) => {
                    let is_it =
                        |entry: &&Entry| entry.hash() == hash && entry.node().name() == name;
                    return entries.iter().find(is_it);
                }
            }
            shift += BITS;
        }
    }

    /// Adds an entry, or replaces the one of the same name.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.bytes += entry.memory();
        match self.root.insert(entry, 0) {
            Some(before) => self.bytes -= before.memory(),
            None => self.len += 1,
        }
    }

    /// Removes the entry of a name.
    pub(crate) fn remove(&mut self, hash: u64, name: &[u8]) {
        if self.get(hash, name).is_some()
            && let Some(before) = self.root.remove(hash, name, 0)
        {
            self.bytes -= before.memory();
            self.len -= 1;
        }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory: the entries, and 40 for the place of each.
    pub(crate) fn memory(&self) -> usize {
        self.bytes + 40 * self.len
    }

    /// Calls `each` with every entry.
    pub(crate) fn for_each<'n>(&'n self, each: &mut impl FnMut(&'n Entry)) {
        self.root.for_each(each);
    }
}

impl Branch {
    /// The index of the slot for a hash, or where it would be.
    #[inline]
    fn place(&self, hash: u64, shift: u32) -> Result<usize, usize> {
        let bit = 1 << ((hash >> shift) & 31);
        let at = (self.bitmap & (bit - 1)).count_ones() as usize;
        if self.bitmap & bit == 0 { Err(at) } else { Ok(at) }
    }

    fn insert(&mut self, entry: Entry, shift: u32) -> Option<Entry> {
        let hash = entry.hash();
        match self.place(hash, shift) {
            Err(at) => {
                let (before, after) = self.slots.split_at(at);
                let new = std::iter::once(Slot::Entry(entry));
                self.slots =
                    before.iter().cloned().chain(new).chain(after.iter().cloned()).collect();
                self.bitmap |= 1 << ((hash >> shift) & 31);
                None
            }
            Ok(at) => {
                let slot = Arc::make_mut(&mut self.slots).get_mut(at)?;
                slot.insert(entry, shift + BITS)
            }
        }
    }

    fn remove(&mut self, hash: u64, name: &[u8], shift: u32) -> Option<Entry> {
        let at = self.place(hash, shift).ok()?;
        let slot = Arc::make_mut(&mut self.slots).get_mut(at)?;
        let removed = match slot {
            Slot::Branch(below) => {
                let removed = below.remove(hash, name, shift + BITS);
                if !below.slots.is_empty() {
                    return removed;
                }
                removed
            }
            Slot::Same(entries) => {
                let found = entries.iter().position(|entry| entry.node().name() == name)?;
                let removed = entries.get(found).cloned();
                let rest = entries.iter().enumerate().filter(|(at, _)| *at != found);
                *entries = rest.map(|(_, entry)| entry.clone()).collect();
                if !entries.is_empty() {
                    return removed;
                }
                removed
            }
            Slot::Entry(entry) => Some(entry.clone()),
        };
        let rest = self.slots.iter().enumerate().filter(|(other, _)| *other != at);
        self.slots = rest.map(|(_, slot)| slot.clone()).collect();
        self.bitmap &= !(1 << ((hash >> shift) & 31));
        removed
    }

    fn for_each<'n>(&'n self, each: &mut impl FnMut(&'n Entry)) {
        for slot in self.slots.iter() {
            match slot {
                Slot::Entry(entry) => each(entry),
                Slot::Branch(below) => below.for_each(each),
                Slot::Same(entries) => entries.iter().for_each(&mut *each),
            }
        }
    }
}

impl Slot {
    /// Adds an entry whose path leads to this slot.
    fn insert(&mut self, entry: Entry, shift: u32) -> Option<Entry> {
        let hash = entry.hash();
        let same_name = |other: &Entry| other.node().name() == entry.node().name();
        let there = match self {
            Self::Branch(below) => return below.insert(entry, shift),
            Self::Entry(known) if known.hash() == hash => {
                if same_name(known) {
                    return Some(std::mem::replace(known, entry));
                }
                *self = Self::Same(Arc::new([known.clone(), entry]));
                return None;
            }
            Self::Same(entries) if entries.first().is_some_and(|known| known.hash() == hash) => {
                let before = entries.iter().find(|known| same_name(known)).cloned();
                let others = entries.iter().filter(|known| !same_name(known)).cloned();
                let all: Arc<[Entry]> = others.chain(std::iter::once(entry.clone())).collect();
                *entries = all;
                return before;
            }
            Self::Entry(known) => known.hash(),
            Self::Same(entries) => entries.first().map_or(0, Entry::hash),
        };
        // Both move a level down.
        let bitmap = 1 << ((there >> shift) & 31);
        let mut below = Branch { bitmap, slots: Arc::new([self.clone()]) };
        below.insert(entry, shift);
        *self = Self::Branch(below);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Plain = BTreeMap<(u64, Vec<u8>), i32>;

    fn entry(hash: u64, name: &[u8], mark: i32) -> Entry {
        Entry::gone(hash, 0, mark, name)
    }

    #[test]
    fn holds_what_a_plain_map_holds() {
        let mut names = Names::default();
        let mut plain = Plain::new();
        let mut kept: Vec<(Names, Plain)> = Vec::new();
        let mut seed = 1;
        for round in 0..4000 {
            seed = wire::hash::mix(seed, 7);
            // Few hashes, and few that differ in the high bits only, so that names share paths and slots.
            let hash = (seed >> 8 & 7) << 61 | seed >> 16 & 0x3F;
            let name = vec![1, b'a' + (seed >> 32 & 3) as u8];
            if seed & 3 == 0 {
                names.remove(hash, &name);
                plain.remove(&(hash, name));
            } else {
                names.insert(entry(hash, &name, round));
                plain.insert((hash, name), round);
            }
            if round % 500 == 0 {
                kept.push((names.clone(), plain.clone()));
            }
        }
        kept.push((names, plain));
        for (names, plain) in kept {
            assert_eq!(names.len(), plain.len());
            let mut seen = 0;
            names.for_each(&mut |_| seen += 1);
            assert_eq!(seen, plain.len());
            let bytes: usize =
                plain.keys().map(|(hash, name)| entry(*hash, name, 0).memory()).sum();
            assert_eq!(names.memory(), bytes + 40 * plain.len());
            for ((hash, name), mark) in &plain {
                assert_eq!(names.get(*hash, name).map(Entry::children), Some(*mark));
            }
            assert!(names.get(1 << 40, b"\x01a").is_none());
        }
    }
}
