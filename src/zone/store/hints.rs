//! Addresses of a zone's parts for prefetching, stored beside the pointer to the zone: all parts are fetched
//! at once, instead of one pointer after the other.

use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering::Relaxed};

use wire::Request;
use wire::prefetch::{fetch_place, fetch_place_once, lines};

use super::table::Bucket;
use super::zone::Zone;

/// A zone of at most so many bytes is fetched as a whole.
const SMALL: usize = 512;

/// Addresses of a zone's parts. They are hints only and never dereferenced: the zone may be freed, and while a
/// new version is stored some may be those of the old one.
#[derive(Debug, Default)]
pub struct PrefetchHints {
    zone: AtomicPtr<Zone>,
    table: AtomicPtr<Bucket>,
    /// Maps a hash to its bucket.
    mask: AtomicU32,
    /// The NS records of the apex, which every answer has; in a small zone with the nodes behind them.
    records: AtomicPtr<u8>,
    /// Cache lines to fetch from `records` on.
    lines: AtomicU8,
    small: AtomicU8,
}

impl PrefetchHints {
    /// Stores the addresses of `zone`.
    pub fn set(&self, zone: &Zone) {
        let flat = zone.flat();
        let (table, mask) = flat.table.first();
        // Of an overlay the names that changed are elsewhere, and its own arena is the apex.
        let small = zone.overlay.is_none() && zone.arena.len() + zone.table.memory() <= SMALL;
        let ns = zone.ns.at.min(zone.arena.len() as u64) as usize;
        let records = &zone.arena[ns..];
        let wanted = if small { records.len() } else { 1 };
        self.zone.store(std::ptr::from_ref(zone).cast_mut(), Relaxed);
        self.table.store(table.cast_mut(), Relaxed);
        self.mask.store(mask as u32, Relaxed);
        self.records.store(records.as_ptr().cast_mut(), Relaxed);
        self.lines.store(lines(records.as_ptr().addr(), wanted) as u8, Relaxed);
        self.small.store(u8::from(small), Relaxed);
    }

    /// Whether [`PrefetchHints::prefetch`] fetches all that a query needs.
    #[inline]
    pub fn is_small(&self) -> bool {
        self.small.load(Relaxed) != 0
    }

    /// Prefetches what every answer reads of the zone.
    #[inline]
    pub fn prefetch(&self) {
        fetch_place(self.zone.load(Relaxed), 1);
        fetch_place(self.records.load(Relaxed), usize::from(self.lines.load(Relaxed)));
    }

    /// Prefetches the bucket of the query's name.
    #[inline]
    pub fn prefetch_bucket(&self, query: &Request) {
        let line = query.suffix_hash(0) as usize & self.mask.load(Relaxed) as usize;
        let place = self.table.load(Relaxed).wrapping_add(line);
        if self.is_small() { fetch_place(place, 1) } else { fetch_place_once(place) }
    }
}
