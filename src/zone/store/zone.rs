//! A zone: the arena of its nodes, the table that finds them, and the sets of the apex.

use wire::{Name, Request, Rtype, hash, name};

use super::denial::Denial;
use super::encode::target;
use super::node::{NSEC3_ONLY, Node, Set, relative_hash};
use super::table::Table;

/// One version of a zone, immutable. The fields that the usual answer reads come first and fill one cache
/// line.
#[repr(C, align(64))]
pub struct Zone {
    pub(super) arena: Box<[u8]>,
    pub(super) table: Table,
    pub(crate) ns: ApexSet,
    pub(super) apex_len: u8,
    pub(super) apex_labels: u8,
    pub(crate) soa: ApexSet,
    pub(super) apex: Name,
    pub(crate) apex_hash: u64,
    pub(crate) apex_at: u64,
    pub(super) names: usize,
    pub(super) records: usize,
    pub(crate) soa_signatures: ApexSet,
    pub(crate) ns_signatures: ApexSet,
    pub(crate) denial: Denial,
    pub(super) serial: u32,
}

const _: () = assert!(std::mem::offset_of!(Zone, soa) <= 64);

/// The location of a set of the apex in the arena: the authority section of most answers has one.
#[derive(Clone, Copy, Default)]
pub(crate) struct ApexSet {
    pub(super) at: u64,
    pub(super) len: u32,
    pub(super) count: u16,
    pub(super) fixes: u16,
}

impl Zone {
    /// The name of the zone, in lower case.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// How many labels the apex has.
    #[inline]
    pub(crate) fn apex_labels(&self) -> usize {
        usize::from(self.apex_labels)
    }

    /// Length of the apex in wire form.
    #[inline]
    pub(crate) fn apex_len(&self) -> usize {
        usize::from(self.apex_len)
    }

    /// The serial number of the SOA.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Number of names, empty non-terminals included.
    pub fn names(&self) -> usize {
        self.names
    }

    /// Number of records.
    pub fn record_count(&self) -> usize {
        self.records
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let order = match &self.denial {
            Denial::None => 0,
            Denial::Nsec(order) | Denial::Nsec3(_, order) => order.capacity() * 4,
        };
        self.arena.len() + self.table.memory() + order + size_of::<Self>()
    }

    /// Whether the zone has NSEC or NSEC3 proofs.
    pub fn is_signed(&self) -> bool {
        !matches!(self.denial, Denial::None)
    }

    /// Whether `owner` (wire form, any case) exists; empty non-terminals and names below a zone cut do.
    pub fn has_name(&self, owner: &[u8]) -> bool {
        let mut buf = [0; name::MAX_NAME + 1];
        target(owner, 0, self.apex.as_wire(), &mut buf)
            .and_then(|relative| self.node_of(relative))
            .is_some()
    }

    /// Prefetches the node that is most likely the query's, after [`PrefetchHints::prefetch_bucket`](super::PrefetchHints::prefetch_bucket) has fetched
    /// its bucket.
    #[inline]
    pub fn prefetch_node(&self, query: &Request) {
        let at = self.table.candidate(query.suffix_hash(0)) as usize;
        wire::prefetch::fetch_once(&self.arena[at]);
        // A node of the usual size spans one or two cache lines.
        if let Some(far) = self.arena.get(at + 63) {
            wire::prefetch::fetch_once(far);
        }
    }

    #[inline]
    pub(crate) fn node(&self, at: u64) -> Node<'_> {
        Node::at(&self.arena, at)
    }

    /// Offset of a name's node; `relative` is its lower-case labels before the apex.
    #[inline]
    pub(crate) fn find_offset(&self, hash: u64, relative: &[u8]) -> Option<u64> {
        self.table.find(hash, |at| self.node(at).name() == relative)
    }

    /// Offset of the wildcard directly below a name.
    pub(crate) fn wildcard_below(&self, hash: u64, relative: &[u8]) -> Option<u64> {
        self.table.find(hash::child(hash, b"*"), |at| {
            self.node(at).name().strip_prefix(b"\x01*") == Some(relative)
        })
    }

    /// The node of a name, unless it is an owner of NSEC3 records only.
    pub(crate) fn node_of(&self, relative: &[u8]) -> Option<Node<'_>> {
        let at = self.find_offset(relative_hash(self.apex_hash, relative), relative)?;
        Some(self.node(at)).filter(|node| !node.has(NSEC3_ONLY))
    }

    /// The node of a name, owners of NSEC3 records included.
    pub(crate) fn node_of_any(&self, relative: &[u8]) -> Option<Node<'_>> {
        let at = self.find_offset(relative_hash(self.apex_hash, relative), relative)?;
        Some(self.node(at))
    }

    pub(crate) fn arena(&self) -> &[u8] {
        &self.arena
    }

    /// A set of the apex, unless there is none.
    #[inline]
    pub(crate) fn at_apex(&self, place: ApexSet) -> Option<Set<'_>> {
        let ApexSet { at, len, count, fixes } = place;
        (count > 0).then(|| Set::at(&self.arena[at as usize..], len as usize, count, fixes))
    }

    pub(crate) fn apex_set(&self, rtype: Rtype) -> Option<Set<'_>> {
        self.node(self.apex_at).find(rtype)
    }
}
