//! Where a zone lies in memory, kept where its holder is: all of it can be asked for at once, instead of
//! waiting for one pointer after the other.

use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering::Relaxed};

use wire::Request;
use wire::prefetch::{fetch_place, fetch_place_once, lines};

use super::Zone;
use super::table::Line;

/// So many octets are worth fetching whether the query needs all of them or not.
const SMALL: usize = 512;

/// The places of a zone. They serve as hints only and are never followed: the zone may be gone, and
/// while another takes its place some may be the old one's.
#[derive(Debug, Default)]
pub struct Whereabouts {
    zone: AtomicPtr<Zone>,
    table: AtomicPtr<Line>,
    /// One less than the lines of the table; no table has more than fit here.
    mask: AtomicU32,
    /// In a small zone the NS records, which every answer has, and the nodes behind them; else the former.
    records: AtomicPtr<u8>,
    /// Cache lines from there on.
    lines: AtomicU8,
    small: AtomicU8,
}

impl Whereabouts {
    /// From now on those of `zone`.
    pub fn set(&self, zone: &Zone) {
        let (table, mask) = zone.table.place();
        let small = zone.arena.len() + zone.table.memory() <= SMALL;
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

    /// Whether [`Whereabouts::prefetch`] asks for all that a query needs.
    #[inline]
    pub fn is_small(&self) -> bool {
        self.small.load(Relaxed) != 0
    }

    /// Starts to fetch what every answer reads of the zone.
    #[inline]
    pub fn prefetch(&self) {
        fetch_place(self.zone.load(Relaxed), 1);
        fetch_place(self.records.load(Relaxed), usize::from(self.lines.load(Relaxed)));
    }

    /// Starts to fetch the line of the table that the query's name hashes to.
    #[inline]
    pub fn prefetch_slot(&self, query: &Request) {
        let line = query.suffix_hash(0) as usize & self.mask.load(Relaxed) as usize;
        let place = self.table.load(Relaxed).wrapping_add(line);
        if self.is_small() { fetch_place(place, 1) } else { fetch_place_once(place) }
    }
}
