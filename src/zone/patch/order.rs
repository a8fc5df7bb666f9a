//! The order of proofs as it differs from the base's.

use std::cmp::Ordering;

use wire::name;

use super::entry::Entry;
use super::sorted::Sorted;

/// Proofs of the base that are gone or replaced, and those that came.
#[derive(Clone, Default)]
pub(crate) struct OrderPatch {
    /// Runs of indexes of the base's order, first and last, that do not touch each other.
    gone: Sorted<(u32, u32)>,
    /// Entries that are proofs, in canonical order.
    came: Sorted<Entry>,
}

impl OrderPatch {
    /// Takes a proof of the base out, given by its index in the base's order.
    pub(crate) fn take(&mut self, index: u32) {
        self.take_range(index, index);
    }

    /// Takes a range of the base's order out. Runs in it and beside it become one with it.
    pub(crate) fn take_range(&mut self, first: u32, last: u32) {
        let (mut first, mut last) = (first, last);
        while let Some(&(from, to)) = self.gone.last_until(|run| run.0.cmp(&last.saturating_add(1)))
            && to.saturating_add(1) >= first
        {
            (first, last) = (first.min(from), last.max(to));
            self.gone.remove(|run| run.0.cmp(&from));
        }
        self.gone.insert((first, last), |run| run.0.cmp(&first));
    }

    /// Puts the proof of a changed name in, or replaces it.
    pub(crate) fn put(&mut self, entry: &Entry) {
        let name = entry.node().name();
        self.came.insert(entry.clone(), |other| by_name(other, name));
    }

    /// Takes the proof of a changed name out; `false` if there is none.
    pub(crate) fn drop(&mut self, name: &[u8]) -> bool {
        self.came.remove(|other| by_name(other, name))
    }

    /// The proofs that came at names below `name`.
    pub(crate) fn came_below(&self, name: &[u8]) -> Vec<Entry> {
        self.came.iter().filter(|entry| is_below(entry.node().name(), name)).cloned().collect()
    }

    /// The index that is left when the runs that are gone are skipped, downwards from `index`.
    pub(crate) fn left(&self, index: u32) -> Option<u32> {
        match self.gone.last_until(|run| run.0.cmp(&index)) {
            Some(&(first, last)) if last >= index => first.checked_sub(1),
            _ => Some(index),
        }
    }

    /// The last entry that does not follow `name` in canonical order.
    pub(crate) fn before(&self, name: &[u8]) -> Option<&Entry> {
        self.came.last_until(|other| by_name(other, name))
    }

    /// Bytes of memory. The entries themselves count where the names are.
    pub(crate) fn memory(&self) -> usize {
        self.gone.memory() + self.came.memory()
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<&Entry> {
        self.came.last()
    }
}

fn by_name(entry: &Entry, name: &[u8]) -> Ordering {
    name::canonical_cmp(entry.node().name(), name)
}

/// Whether `own` is below `name` and not equal to it.
pub(crate) fn is_below(own: &[u8], name: &[u8]) -> bool {
    own.len() > name.len() && name::is_under(own, name)
}
