//! The zones of a block by name.

use std::sync::Arc;

use wire::{Query, hash, name};

use super::source::Source;

/// Finds the zone that a query's name is in.
pub(super) struct Zones {
    entries: Box<[Entry]>,
    /// Indexes into `entries` by hash, open addressing; a power of two, at most half full.
    slots: Box<[Option<u32>]>,
    /// Bit `n` is set if a zone has `n` labels: other depths need no look.
    depths: u128,
}

struct Entry {
    hash: u64,
    labels: usize,
    source: Arc<Source>,
}

impl Zones {
    /// These zones; no name appears twice.
    pub(super) fn new(sources: Vec<Arc<Source>>) -> Self {
        let entries: Box<[Entry]> = sources
            .into_iter()
            .map(|source| {
                let origin = source.origin.as_wire();
                Entry { hash: hash::name(origin), labels: name::label_count(origin), source }
            })
            .collect();
        let size = (entries.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![None; size].into_boxed_slice();
        let mut depths = 0;
        for (index, entry) in entries.iter().enumerate() {
            let mut slot = entry.hash as usize & (size - 1);
            while slots[slot].is_some() {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = Some(index as u32);
            depths |= 1u128 << entry.labels;
        }
        Self { entries, slots, depths }
    }

    /// The zone, if there is just one.
    #[inline]
    pub(super) fn only(&self) -> Option<&Source> {
        match &*self.entries {
            [only] => Some(&only.source),
            _ => None,
        }
    }

    /// The longest zone that the query's name is in.
    #[inline]
    pub(super) fn find(&self, query: &Query) -> Option<&Source> {
        if let [only] = &*self.entries {
            let label = query.labels().checked_sub(only.labels)?;
            return only.matches(query, label).then_some(&*only.source);
        }
        let labels = query.labels();
        for label in 0..=labels {
            if self.depths >> (labels - label) & 1 == 0 {
                continue;
            }
            let mask = self.slots.len() - 1;
            let mut slot = query.suffix_hash(label) as usize & mask;
            while let Some(index) = self.slots[slot] {
                let entry = &self.entries[index as usize];
                if entry.matches(query, label) {
                    return Some(&entry.source);
                }
                slot = (slot + 1) & mask;
            }
        }
        None
    }
}

impl Entry {
    #[inline]
    fn matches(&self, query: &Query, label: usize) -> bool {
        query.suffix_hash(label) == self.hash && query.suffix(label) == self.source.origin.as_wire()
    }
}
