//! Owners of records and what each says, packed.

use std::hash::{BuildHasher, RandomState};

use wire::HashIndex;

use crate::packed::{self, Arena, Place};

/// The longest key of an owner in octets.
pub const MAX_KEY: usize = 1024;

/// The index of owners makes room for so many more at least.
const MIN_GROWTH: usize = 16;

/// A part of a feed whose owners are listed together: the objects of one kind, the keys below one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(pub(crate) u8);

/// One who states records: an object of a cluster, an instance of a service, a key of a store.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'k> {
    pub(crate) source: Source,
    key: Key<'k>,
}

#[derive(Clone, Copy, Debug)]
enum Key<'k> {
    Octets(&'k [u8]),
    Number([u8; 8]),
}

impl Source {
    /// The owner with this key, of at most [`MAX_KEY`] octets.
    pub fn owner(self, key: &[u8]) -> Owner<'_> {
        Owner { source: self, key: Key::Octets(key) }
    }

    /// The owner with this number. It is the owner whose key is the number in eight octets, the highest
    /// first.
    pub fn number(self, number: u64) -> Owner<'static> {
        Owner { source: self, key: Key::Number(number.to_be_bytes()) }
    }
}

impl Owner<'_> {
    /// The key in octets.
    pub fn key(&self) -> &[u8] {
        match &self.key {
            Key::Octets(key) => key,
            Key::Number(key) => key,
        }
    }

    /// The source.
    pub fn source(&self) -> Source {
        self.source
    }
}

/// Hashes owners, with a seed of its own.
#[derive(Clone, Default)]
pub(crate) struct OwnerHash(RandomState);

impl OwnerHash {
    pub(crate) fn of(&self, source: Source, key: &[u8]) -> u64 {
        self.0.hash_one((source, key))
    }
}

/// An owner as it is stored: the source, a mark, the length of the key, the key, groups of statements.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub(crate) source: Source,
    /// In the feed, the relist that saw the owner last. In a batch, whether the owner goes.
    pub(crate) mark: u8,
    pub(crate) key: &'a [u8],
    pub(crate) groups: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Octets of its string in the arena, the head included.
    pub(crate) fn size(&self) -> usize {
        // The source, the mark, and a length of one group of seven bits or two.
        let len = if self.key.len() < 0x80 { 1 } else { 2 };
        packed::HEAD + 2 + len + self.key.len() + self.groups.len()
    }

    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let (len, start) = packed::number(bytes, 2);
        let (key, groups) = bytes[start..].split_at(len as usize);
        Self { source: Source(bytes[0]), mark: bytes[1], key, groups }
    }
}

/// Owners by source and key.
#[derive(Default)]
pub(crate) struct Owners {
    arena: Arena,
    index: HashIndex,
    hash: OwnerHash,
}

impl Owners {
    /// No owners yet, hashed as those of others are.
    pub(crate) fn with_hash(hash: OwnerHash) -> Self {
        Self { hash, ..Self::default() }
    }

    pub(crate) fn hash(&self) -> &OwnerHash {
        &self.hash
    }

    /// The place of an owner.
    pub(crate) fn find(&self, source: Source, key: &[u8]) -> Option<Place> {
        self.index.find(self.hash.of(source, key), |place| {
            let stored = self.at(place);
            stored.source == source && stored.key == key
        })
    }

    pub(crate) fn at(&self, place: Place) -> Stored<'_> {
        Stored::read(self.arena.get(place))
    }

    /// Adds an owner that is not there. Its groups keep the uses of suffixes that they have.
    pub(crate) fn insert(&mut self, source: Source, mark: u8, key: &[u8], groups: &[u8]) {
        // The length of a key fits two groups of seven bits.
        let len = key.len();
        let short = [source.0, mark, len as u8];
        let long = [source.0, mark, len as u8 | 0x80, (len >> 7) as u8];
        let head: &[u8] = if len < 0x80 { &short } else { &long };
        let place = self.arena.put(&[head, key, groups]);
        if self.index.is_full() {
            self.index.reserve_exact(MIN_GROWTH + self.index.len() / 8);
        }
        self.index.insert(self.hash.of(source, key), place);
    }

    /// Removes an owner. The uses of suffixes that its groups have end elsewhere.
    pub(crate) fn remove(&mut self, place: Place) {
        let stored = self.at(place);
        let hash = self.hash.of(stored.source, stored.key);
        self.index.remove(hash, place);
        self.arena.remove(place);
    }

    /// Moves owners out of memory that is mostly unused.
    pub(crate) fn tidy(&mut self) {
        let (index, hash) = (&mut self.index, &self.hash);
        self.arena.tidy(|bytes, from, to| {
            let stored = Stored::read(bytes);
            let hash = hash.of(stored.source, stored.key);
            index.remove(hash, from);
            index.insert(hash, to);
        });
    }

    pub(crate) fn set_mark(&mut self, place: Place, mark: u8) {
        self.arena.get_mut(place)[1] = mark;
    }

    /// All owners, by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, Stored<'_>)> {
        self.arena.iter().map(|(place, bytes)| (place, Stored::read(bytes)))
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Octets of the owners, holes left out.
    pub(crate) fn live(&self) -> usize {
        self.arena.live()
    }

    /// Octets of memory.
    pub(crate) fn memory(&self) -> usize {
        self.arena.memory() + self.index.memory()
    }
}
