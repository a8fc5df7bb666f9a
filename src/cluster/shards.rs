//! Entries of octets in shards, found by a hash.
//!
//! A shard is one block: the number of its entries in four octets, for each its tag and its end in four octets
//! each, and the entries. A tag is 32 bits of the hash of the key; the low bits choose the shard.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

/// Shards of each kind. A change copies one of them, so 100,000 entries make copies of a few kilobytes.
const SHARDS: usize = 4096;

pub(crate) type Block = Box<[u8]>;

/// The shards.
pub(crate) struct Shards(Box<[ArcSwapOption<Block>]>);

impl Default for Shards {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| ArcSwapOption::const_empty()).collect())
    }
}

impl Shards {
    /// The shard of a tag as it is now.
    #[inline]
    pub(crate) fn load(&self, tag: u32) -> Loaded {
        Loaded(self.0[tag as usize % SHARDS].load())
    }

    /// All shards as they are when each is read.
    pub(crate) fn all(&self) -> impl Iterator<Item = Loaded> + '_ {
        self.0.iter().map(|shard| Loaded(shard.load()))
    }

    /// Replaces an entry of the shard of `tag`, or adds or removes it. `old` is its place in the shard as it is
    /// now. Writers take turns: that is the caller's duty.
    pub(crate) fn replace(&self, tag: u32, old: Option<usize>, new: Option<&[u8]>) {
        let place = &self.0[tag as usize % SHARDS];
        let loaded = Loaded(place.load());
        let mut kept: Vec<(u32, &[u8])> = loaded
            .entries()
            .enumerate()
            .filter(|(at, _)| Some(*at) != old)
            .map(|it| it.1)
            .collect();
        if let Some(new) = new {
            // An entry that changes keeps its place.
            let at = old.unwrap_or(kept.len()).min(kept.len());
            kept.insert(at, (tag, new));
        }
        let block = (!kept.is_empty()).then(|| Arc::new(block_of(&kept)));
        place.store(block);
    }

    /// Octets of memory.
    pub(crate) fn memory(&self) -> usize {
        let heads = SHARDS * size_of::<ArcSwapOption<Block>>();
        let block = |shard: Loaded| shard.0.as_deref().map_or(0, |block| 32 + block.len());
        heads + self.all().map(block).sum::<usize>()
    }
}

fn block_of(entries: &[(u32, &[u8])]) -> Block {
    let directory = 4 + 8 * entries.len();
    let len = directory + entries.iter().map(|(_, entry)| entry.len()).sum::<usize>();
    let mut block = Vec::with_capacity(len);
    block.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    let mut end = directory as u32;
    for (tag, entry) in entries {
        end += entry.len() as u32;
        block.extend_from_slice(&tag.to_le_bytes());
        block.extend_from_slice(&end.to_le_bytes());
    }
    entries.iter().for_each(|(_, entry)| block.extend_from_slice(entry));
    block.into_boxed_slice()
}

/// A shard that is being read: it stays as it is.
pub(crate) struct Loaded(Guard<Option<Arc<Block>>>);

impl Loaded {
    #[inline]
    fn octets(&self) -> &[u8] {
        self.0.as_deref().map_or(&[], |block| block)
    }

    #[inline]
    fn word(octets: &[u8], at: usize) -> u32 {
        octets
            .get(at..at + 4)
            .and_then(|word| word.first_chunk())
            .map_or(0, |word| u32::from_le_bytes(*word))
    }

    /// Entries with their tags.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, &[u8])> + '_ {
        let octets = self.octets();
        let count = Self::word(octets, 0) as usize;
        let mut start = 4 + 8 * count;
        (0..count).map(move |at| {
            let tag = Self::word(octets, 4 + 8 * at);
            let end = Self::word(octets, 8 + 8 * at) as usize;
            let entry = octets.get(start..end).unwrap_or_default();
            start = end;
            (tag, entry)
        })
    }

    /// The first entry with this tag that is the one, and its place.
    #[inline]
    pub(crate) fn find(&self, tag: u32, is_it: impl Fn(&[u8]) -> bool) -> Option<(usize, &[u8])> {
        let octets = self.octets();
        let count = Self::word(octets, 0) as usize;
        (0..count).find_map(|at| {
            if Self::word(octets, 4 + 8 * at) != tag {
                return None;
            }
            let start = match at {
                0 => 4 + 8 * count,
                _ => Self::word(octets, 8 * at) as usize,
            };
            let end = Self::word(octets, 8 + 8 * at) as usize;
            let entry = octets.get(start..end)?;
            is_it(entry).then_some((at, entry))
        })
    }
}
