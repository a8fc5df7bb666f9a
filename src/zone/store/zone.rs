//! A zone: its arena, its table, and where the sets of the apex lie.

use wire::{Name, Query, Rtype, hash, name};

use super::denial::Denial;
use super::encode::target;
use super::node::{NSEC3_ONLY, Node, Set, relative_hash};
use super::table::Table;

/// One version of a zone, ready to answer; never changes. What the usual answer reads of it comes
/// first and is one cache line.
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

/// Where a set of the apex lies in the arena: such go into the authority section of most answers.
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

    /// How long the apex's name is in wire form.
    #[inline]
    pub(crate) fn apex_len(&self) -> usize {
        usize::from(self.apex_len)
    }

    /// The serial number of the SOA.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// How many names exist, empty non-terminals included.
    pub fn names(&self) -> usize {
        self.names
    }

    /// How many records there are.
    pub fn record_count(&self) -> usize {
        self.records
    }

    /// Bytes of memory that the zone takes.
    pub fn memory(&self) -> usize {
        let order = match &self.denial {
            Denial::None => 0,
            Denial::Nsec(order) | Denial::Nsec3(_, order) => order.capacity() * 4,
        };
        self.arena.len() + self.table.memory() + order + size_of::<Self>()
    }

    /// Whether the zone is signed in a way that it can prove absence.
    pub fn is_signed(&self) -> bool {
        !matches!(self.denial, Denial::None)
    }

    /// Whether `owner` (wire form, any case) exists, be it as an empty non-terminal or below a cut.
    pub fn has_name(&self, owner: &[u8]) -> bool {
        let mut buf = [0; name::MAX_NAME + 1];
        target(owner, 0, self.apex.as_wire(), &mut buf)
            .and_then(|relative| self.node_of(relative))
            .is_some()
    }

    /// Starts to fetch the node that may be the query's, once [`PrefetchHints::prefetch_bucket`] has asked for
    /// the line of the table that tells which it is.
    #[inline]
    pub fn prefetch_node(&self, query: &Query) {
        let at = self.table.candidate(query.suffix_hash(0)) as usize;
        wire::prefetch::fetch_once(&self.arena[at]);
        // A node of the usual size lies in one line or two.
        if let Some(far) = self.arena.get(at + 63) {
            wire::prefetch::fetch_once(far);
        }
    }

    #[inline]
    pub(crate) fn node(&self, at: u64) -> Node<'_> {
        Node::at(&self.arena, at)
    }

    /// Where the node of a name lies; `relative` is its lower-case labels before the apex.
    #[inline]
    pub(crate) fn find_offset(&self, hash: u64, relative: &[u8]) -> Option<u64> {
        self.table.find(hash, |at| self.node(at).name() == relative)
    }

    /// Where the wildcard directly below a name lies.
    pub(crate) fn wildcard_below(&self, hash: u64, relative: &[u8]) -> Option<u64> {
        self.table.find(hash::child(hash, b"*"), |at| {
            self.node(at).name().strip_prefix(b"\x01*") == Some(relative)
        })
    }

    /// The node of a name that is part of the zone's own names.
    pub(crate) fn node_of(&self, relative: &[u8]) -> Option<Node<'_>> {
        let at = self.find_offset(relative_hash(self.apex_hash, relative), relative)?;
        Some(self.node(at)).filter(|node| !node.has(NSEC3_ONLY))
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
