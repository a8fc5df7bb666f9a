//! Ends of names that many names share, each held once: all of a name but its first label.

use wire::{HashIndex, hash};

use super::arena::{Arena, Place};

/// Ends of names by number, with a count of their uses.
#[derive(Default)]
pub(crate) struct Suffixes {
    entries: Vec<Entry>,
    /// Numbers that are not in use.
    free: Vec<u32>,
    index: HashIndex,
    /// The number in four octets, then the name as it was written.
    names: Arena,
    /// The number that was used last.
    last: Option<u32>,
}

struct Entry {
    place: Place,
    uses: u32,
    hash: u64,
}

impl Suffixes {
    /// The number of a name, with one use more.
    pub(crate) fn intern(&mut self, name: &[u8]) -> u32 {
        let known = self.last.filter(|&last| self.name(last) == name).or_else(|| self.find(name));
        let number = known.unwrap_or_else(|| self.add(name));
        self.entries[number as usize].uses += 1;
        self.last = Some(number);
        number
    }

    fn find(&self, name: &[u8]) -> Option<u32> {
        self.index.find(hash::name(name), |number| self.name(number) == name)
    }

    fn add(&mut self, name: &[u8]) -> u32 {
        let number = self.free.pop().unwrap_or(self.entries.len() as u32);
        let place = self.names.put(&[&number.to_le_bytes(), name]);
        let entry = Entry { place, uses: 0, hash: hash::name(name) };
        self.index.insert(entry.hash, number);
        match self.entries.get_mut(number as usize) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        number
    }

    /// Takes one use back. A name without uses is dropped.
    pub(crate) fn release(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        entry.uses -= 1;
        if entry.uses > 0 {
            return;
        }
        self.index.remove(entry.hash, number);
        self.names.remove(entry.place);
        self.free.push(number);
        self.last = None;
        let entries = &mut self.entries;
        self.names.tidy(|bytes, _, to| {
            let number = bytes.first_chunk().map_or(0, |four| u32::from_le_bytes(*four));
            entries[number as usize].place = to;
        });
    }

    /// The name with this number.
    #[inline]
    pub(crate) fn name(&self, number: u32) -> &[u8] {
        &self.names.get(self.entries[number as usize].place)[4..]
    }

    /// The hash of the name with this number.
    #[inline]
    pub(crate) fn hash(&self, number: u32) -> u64 {
        self.entries[number as usize].hash
    }

    /// Octets of memory.
    pub(crate) fn memory(&self) -> usize {
        self.names.memory()
            + self.index.memory()
            + self.entries.capacity() * size_of::<Entry>()
            + self.free.capacity() * size_of::<u32>()
    }

    /// How many names there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::name;

    #[test]
    fn equal_names_share_a_number_until_the_last_use_ends() {
        let mut suffixes = Suffixes::default();
        let (a, b) = (name!("a.example."), &b"\x01A\x07example\0"[..]);
        let first = suffixes.intern(a);
        assert_eq!(suffixes.intern(a), first);
        let other = suffixes.intern(b);
        assert_ne!(other, first, "case is kept");
        assert_eq!((suffixes.name(first), suffixes.name(other)), (a, b));
        suffixes.release(first);
        assert_eq!(suffixes.name(first), a);
        suffixes.release(first);
        assert_eq!(suffixes.len(), 1);
        let again = suffixes.intern(name!("b.example."));
        assert_eq!(suffixes.name(again), name!("b.example."));
        assert_eq!(suffixes.name(other), b);
    }
}
