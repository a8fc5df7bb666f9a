//! A zone: the arena of its nodes, the table that finds them, and the sets of the apex.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use wire::{Name, Request, Rtype, hash, name};

use super::apex::{Apex, ApexSet, Denial};
use super::encode::target;
use super::node::{CHILD, FIRST, NSEC3_ONLY, Node, Set, TOMBSTONE, relative_hash};
use super::table::Buckets;
use crate::patch::{Names, OrderPatch};

/// One version of a zone, immutable. The fields that the usual answer reads come first and fill one cache
/// line.
///
/// A version is either flat, as it was loaded, or an overlay: the names that differ from an older, flat one.
/// A flat version pays nothing for that but one test of a pointer that is in its first cache line.
#[repr(C, align(64))]
pub struct Zone {
    /// The nodes; of an overlay, that of the apex alone.
    pub(super) arena: Box<[u8]>,
    /// Finds the nodes of a flat version.
    pub(super) table: Buckets,
    pub(crate) ns: ApexSet,
    pub(crate) overlay: Option<Box<Overlay>>,
    pub(super) apex_len: u8,
    pub(super) apex_labels: u8,
    pub(crate) soa: ApexSet,
    pub(super) apex: Name,
    pub(crate) apex_hash: u64,
    pub(crate) apex_at: u64,
    pub(crate) counts: Counts,
    pub(crate) soa_signatures: ApexSet,
    pub(crate) ns_signatures: ApexSet,
    pub(crate) denial: Denial,
    /// Offsets of the nodes that are proofs of a flat version, in canonical order.
    pub(crate) order: Vec<u32>,
    pub(super) serial: u32,
    /// Names directly below a name that is not the apex, by the offset of its node. Counted when a change
    /// first asks.
    pub(super) children: OnceLock<HashMap<u64, u32>>,
}

const _: () = assert!(std::mem::offset_of!(Zone, soa) <= 64);

/// The names that differ from a flat version.
pub(crate) struct Overlay {
    pub(crate) base: Arc<Zone>,
    pub(crate) names: Names,
    pub(crate) order: OrderPatch,
    /// Whether a zone cut or a DNAME came or went, so that `OCCLUDED` says nothing any more.
    pub(crate) cuts_moved: bool,
}

/// How much a version has.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Names, empty non-terminals included.
    pub(crate) names: usize,
    pub(crate) records: usize,
    /// NSEC3 sets.
    pub(crate) nsec3: usize,
    /// NSEC sets below a cut or a DNAME, which are in no order of proofs.
    pub(crate) occluded_proofs: usize,
}

impl Zone {
    /// A version that differs from a flat one by `overlay`. `arena` has the node of the apex and nothing else.
    pub(crate) fn over(overlay: Overlay, arena: Box<[u8]>, counts: Counts) -> Self {
        let base = Arc::clone(&overlay.base);
        let apex = Apex::read(Node::at(&arena, FIRST), FIRST, counts.nsec3 > 0);
        Self {
            arena,
            table: Buckets::default(),
            ns: apex.ns,
            overlay: Some(Box::new(overlay)),
            apex_len: base.apex_len,
            apex_labels: base.apex_labels,
            soa: apex.soa,
            apex: base.apex.clone(),
            apex_hash: base.apex_hash,
            apex_at: FIRST,
            counts,
            soa_signatures: apex.soa_signatures,
            ns_signatures: apex.ns_signatures,
            denial: apex.denial,
            order: Vec::new(),
            serial: apex.serial,
            children: OnceLock::new(),
        }
    }

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
        self.counts.names
    }

    /// Number of records.
    pub fn record_count(&self) -> usize {
        self.counts.records
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let own = self.arena.len() + self.table.memory() + self.order.capacity() * 4;
        let shared = self.overlay.as_ref().map_or(0, |overlay| {
            let names = overlay.names.memory() + overlay.order.memory();
            size_of::<Overlay>() + names + overlay.base.memory()
        });
        let counted = self.children.get().map_or(0, |counted| counted.capacity() * 17);
        own + shared + counted + size_of::<Self>()
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
        // The names of an overlay are few, and found without help.
        let flat = self.flat();
        let at = flat.table.candidate(query.suffix_hash(0)) as usize;
        wire::prefetch::fetch_once(&flat.arena[at]);
        // A node of the usual size spans one or two cache lines.
        if let Some(far) = flat.arena.get(at + 63) {
            wire::prefetch::fetch_once(far);
        }
    }

    /// How many names are directly below that of the node at `at` of a flat version.
    pub(crate) fn children_of(&self, at: u64) -> u32 {
        if !self.node(at).has(CHILD) {
            return 0;
        }
        let counted = self.children.get_or_init(|| {
            let mut counted = HashMap::new();
            let mut at = FIRST;
            while at < self.arena.len() as u64 {
                let node = self.node(at);
                at += node.size() as u64;
                let name = node.name();
                let parent = name.first().map_or(name, |&len| &name[1 + usize::from(len)..]);
                if parent.is_empty() || node.has(TOMBSTONE) {
                    continue;
                }
                if let Some(parent_at) = self.offset_of(parent) {
                    *counted.entry(parent_at).or_default() += 1;
                }
            }
            counted
        });
        counted.get(&at).copied().unwrap_or(0)
    }

    /// The offset of a name's node in a flat version.
    pub(crate) fn offset_of(&self, relative: &[u8]) -> Option<u64> {
        self.find_offset(relative_hash(self.apex_hash, relative), relative)
    }

    /// The flat version that this one is or lies over.
    #[inline]
    pub(crate) fn flat(&self) -> &Self {
        self.overlay.as_ref().map_or(self, |overlay| &overlay.base)
    }

    /// The node at an offset of the arena.
    #[inline]
    pub(crate) fn node(&self, at: u64) -> Node<'_> {
        Node::at(&self.arena, at)
    }

    /// The node of the apex.
    #[inline]
    pub(crate) fn top(&self) -> Node<'_> {
        self.node(self.apex_at)
    }

    /// A name's node; `relative` is its lower-case labels before the apex.
    #[inline]
    pub(crate) fn find(&self, hash: u64, relative: &[u8]) -> Option<Node<'_>> {
        if let Some(overlay) = &self.overlay {
            return self.find_over(overlay, hash, relative);
        }
        self.find_offset(hash, relative).map(|at| self.node(at))
    }

    /// The offset of a name's node in a flat version.
    #[inline]
    pub(crate) fn find_offset(&self, hash: u64, relative: &[u8]) -> Option<u64> {
        self.table.find(hash, |at| self.node(at).name() == relative)
    }

    #[inline(never)]
    fn find_over<'z>(
        &'z self,
        overlay: &'z Overlay,
        hash: u64,
        relative: &[u8],
    ) -> Option<Node<'z>> {
        if relative.is_empty() {
            return Some(self.top());
        }
        match overlay.names.get(hash, relative) {
            Some(entry) => Some(entry.node()).filter(|_| !entry.is_gone()),
            None => overlay.base.find(hash, relative),
        }
    }

    /// The wildcard directly below a name.
    pub(crate) fn wildcard_below(&self, hash: u64, relative: &[u8]) -> Option<Node<'_>> {
        let mut wildcard = [0; name::MAX_NAME + 2];
        wildcard[..2].copy_from_slice(b"\x01*");
        wildcard.get_mut(2..2 + relative.len())?.copy_from_slice(relative);
        self.find(hash::child(hash, b"*"), &wildcard[..2 + relative.len()])
    }

    /// The node of a name, unless it is an owner of NSEC3 records only.
    pub(crate) fn node_of(&self, relative: &[u8]) -> Option<Node<'_>> {
        self.node_of_any(relative).filter(|node| !node.has(NSEC3_ONLY))
    }

    /// The node of a name, owners of NSEC3 records included.
    pub(crate) fn node_of_any(&self, relative: &[u8]) -> Option<Node<'_>> {
        self.find(relative_hash(self.apex_hash, relative), relative)
    }

    /// Whether the flags of names may claim that they are below a cut which has gone, or do not say that they
    /// are below one which came.
    #[inline]
    pub(crate) fn cuts_moved(&self) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.cuts_moved)
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
        self.top().find(rtype)
    }
}
