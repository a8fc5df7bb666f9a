//! Ghosts: the hashes of entries that were evicted a while ago. A name that comes back is no part of a
//! scan.

use wire::prefetch::fetch;

/// Fingerprints, the latest first, within one cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Row([u32; 8]);

/// Rows of the smallest table.
const SMALLEST: usize = 256;

/// Fingerprints of hashes. A new one replaces the oldest of its row.
#[derive(Default)]
pub(super) struct Ghosts {
    /// A power of two of them, or none until something is evicted.
    rows: Vec<Row>,
}

impl Ghosts {
    /// Remembers `hash`. The table has room for several times the `entries` of the shard.
    pub(super) fn remember(&mut self, hash: u64, entries: usize) {
        if self.rows.len() * 2 < entries.max(SMALLEST * 2) {
            // The larger table starts empty, which costs a few misses each time the shard doubles.
            self.rows = vec![Row::default(); entries.div_ceil(2).next_power_of_two().max(SMALLEST)];
        }
        let (row, fingerprint) = self.place(hash);
        let Row(row) = &mut self.rows[row];
        row.copy_within(..7, 1);
        row[0] = fingerprint;
    }

    /// Whether `hash` is remembered; forgets it.
    pub(super) fn recall(&mut self, hash: u64) -> bool {
        if self.rows.is_empty() {
            return false;
        }
        let (row, fingerprint) = self.place(hash);
        let found = self.rows[row].0.iter_mut().find(|known| **known == fingerprint);
        found.map(|known| *known = 0).is_some()
    }

    /// Prefetches what [`Ghosts::recall`] of `hash` reads.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if let Some(row) = self.rows.get(self.place(hash).0) {
            fetch(row);
        }
    }

    fn place(&self, hash: u64) -> (usize, u32) {
        // Zero is an unused place.
        (hash as usize & self.rows.len().wrapping_sub(1), (hash >> 28) as u32 | 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_once() {
        let mut ghosts = Ghosts::default();
        let hash = |number: u64| wire::hash::mix(number, 0x6057);
        assert!(!ghosts.recall(hash(1)));
        for number in 0..10_000 {
            ghosts.remember(hash(number), 100);
        }
        let late = (9_000..10_000).filter(|&number| ghosts.recall(hash(number))).count();
        assert!(late > 950, "{late}");
        let again = (9_000..10_000).filter(|&number| ghosts.recall(hash(number))).count();
        let early = (0..2_000).filter(|&number| ghosts.recall(hash(number))).count();
        assert_eq!((again, early), (0, 0));
    }
}
