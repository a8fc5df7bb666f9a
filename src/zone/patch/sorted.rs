//! A persistent sorted list, as chunks under one list of chunks. A copy shares all chunks, and a change copies
//! one of them and the list above.

use std::cmp::Ordering;
use std::sync::Arc;

/// Items of a chunk at most.
const CHUNK: usize = 128;

/// Items in an order that the caller's comparisons define. No chunk is empty.
#[derive(Clone)]
pub(crate) struct Sorted<T> {
    chunks: Arc<[Arc<[T]>]>,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self { chunks: Arc::new([]) }
    }
}

impl<T: Clone> Sorted<T> {
    /// The last item for which `order` is not greater: the one that is sought, or the one before it.
    pub(crate) fn last_until(&self, order: impl Fn(&T) -> Ordering) -> Option<&T> {
        let is_before = |item: &T| order(item) != Ordering::Greater;
        let chunk = self.chunks.partition_point(|chunk| chunk.first().is_some_and(is_before));
        let chunk = self.chunks.get(chunk.checked_sub(1)?)?;
        chunk.get(chunk.partition_point(is_before).checked_sub(1)?)
    }

    /// The last item.
    pub(crate) fn last(&self) -> Option<&T> {
        self.chunks.last()?.last()
    }

    /// The item for which `order` is equal.
    pub(crate) fn get(&self, order: impl Fn(&T) -> Ordering) -> Option<&T> {
        self.last_until(&order).filter(|item| order(item).is_eq())
    }

    /// Inserts an item, or replaces the one for which `order` is equal.
    pub(crate) fn insert(&mut self, item: T, order: impl Fn(&T) -> Ordering) {
        self.edit(&order, |chunk| match chunk.binary_search_by(&order) {
            Ok(at) => chunk[at] = item,
            Err(at) => chunk.insert(at, item),
        });
    }

    /// Removes the item for which `order` is equal; `false` if there is none.
    pub(crate) fn remove(&mut self, order: impl Fn(&T) -> Ordering) -> bool {
        let found = self.get(&order).is_some();
        if found {
            self.edit(&order, |chunk| {
                if let Ok(at) = chunk.binary_search_by(&order) {
                    chunk.remove(at);
                }
            });
        }
        found
    }

    /// Replaces the chunk where the sought item belongs by its edited copy, in two halves if it is too long.
    fn edit(&mut self, order: impl Fn(&T) -> Ordering, edit: impl FnOnce(&mut Vec<T>)) {
        let is_before = |item: &T| order(item) != Ordering::Greater;
        let behind = self.chunks.partition_point(|chunk| chunk.first().is_some_and(is_before));
        let at = behind.saturating_sub(1);
        let mut chunk = self.chunks.get(at).map_or_else(Vec::new, |chunk| chunk.to_vec());
        edit(&mut chunk);
        let mut chunks = Vec::with_capacity(self.chunks.len() + 1);
        chunks.extend(self.chunks.iter().take(at).cloned());
        let half = if chunk.len() > CHUNK { chunk.len() / 2 } else { chunk.len() };
        let second = chunk.split_off(half);
        chunks.extend([chunk, second].into_iter().filter(|part| !part.is_empty()).map(Arc::from));
        chunks.extend(self.chunks.iter().skip(at + 1).cloned());
        self.chunks = chunks.into();
    }

    /// Bytes of memory: the items, and what points to each chunk.
    pub(crate) fn memory(&self) -> usize {
        // A pointer with its length, and the two counters of a shared allocation.
        let chunk = 4 * size_of::<usize>();
        self.chunks.iter().map(|items| chunk + size_of::<T>() * items.len()).sum()
    }

    /// All items in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn holds_what_a_plain_set_holds() {
        let mut sorted = Sorted::default();
        let mut plain = BTreeSet::new();
        let mut seed = 1;
        for _ in 0..6000 {
            seed = wire::hash::mix(seed, 3);
            let item = seed >> 16 & 0x7FF;
            if seed & 1 == 0 {
                sorted.remove(|other: &u64| other.cmp(&item));
                plain.remove(&item);
            } else {
                sorted.insert(item, |other| other.cmp(&item));
                plain.insert(item);
            }
            let sought = seed >> 40 & 0x7FF;
            assert_eq!(
                sorted.last_until(|other| other.cmp(&sought)),
                plain.range(..=sought).next_back()
            );
        }
        assert!(sorted.iter().eq(&plain));
        assert_eq!(sorted.last(), plain.last());
        let least = 8 * plain.len();
        assert!((least..least + least / 2).contains(&sorted.memory()), "{}", sorted.memory());
    }
}
