//! The zones of a block by name.

use std::sync::Arc;

use exchange::Query;
use wire::{hash, name};

use super::source::ZoneFile;

/// Finds the zone that a query's name is in.
pub(super) enum Zones {
    /// Most blocks have one zone: found without a further pointer.
    One(ZoneEntry),
    /// Any number of them.
    Many(Box<Table>),
}

/// Zones by the hash of their names.
pub(super) struct Table {
    entries: Box<[ZoneEntry]>,
    /// Indexes into `entries` by hash, open addressing; a power of two, at most half full.
    slots: Box<[Option<u32>]>,
    /// Bit `n` is set if a zone has `n` labels: other depths need no look.
    depths: u128,
}

pub(super) struct ZoneEntry {
    hash: u64,
    labels: usize,
    source: Arc<ZoneFile>,
}

impl Zones {
    /// These zones; no name appears twice.
    pub(super) fn new(sources: Vec<Arc<ZoneFile>>) -> Self {
        let mut entries: Vec<ZoneEntry> = sources.into_iter().map(ZoneEntry::new).collect();
        match entries.pop() {
            Some(only) if entries.is_empty() => Self::One(only),
            last => {
                entries.extend(last);
                Self::Many(Box::new(Table::new(entries.into())))
            }
        }
    }

    /// The zone, if there is just one.
    #[inline]
    pub(super) fn only(&self) -> Option<&ZoneFile> {
        match self {
            Self::One(only) => Some(&only.source),
            Self::Many(_) => None,
        }
    }

    /// The longest zone that the query's name is in.
    #[inline]
    pub(super) fn find(&self, query: &Query) -> Option<&ZoneFile> {
        match self {
            Self::One(only) => {
                let label = query.labels().checked_sub(only.labels)?;
                only.matches(query, label).then_some(&*only.source)
            }
            Self::Many(table) => table.find(query),
        }
    }
}

impl Table {
    fn new(entries: Box<[ZoneEntry]>) -> Self {
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

    fn find(&self, query: &Query) -> Option<&ZoneFile> {
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

impl ZoneEntry {
    fn new(source: Arc<ZoneFile>) -> Self {
        let origin = source.origin.as_wire();
        Self { hash: hash::name(origin), labels: name::label_count(origin), source }
    }

    #[inline]
    fn matches(&self, query: &Query, label: usize) -> bool {
        query.suffix_hash(label) == self.hash && query.suffix(label) == self.source.origin.as_wire()
    }
}
