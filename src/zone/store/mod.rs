//! The store: all names of a zone in one arena, found by one table.

mod build;
mod encode;
mod finish;
pub(crate) mod node;
mod records;
mod scratch;
mod table;
mod unfit;
mod whereabouts;

pub use build::Builder;
pub use records::{Records, Rrset, Soa};
pub use unfit::{Conflict, Unfit};
pub use whereabouts::Whereabouts;

pub(crate) use build::relative_hash;
pub(crate) use encode::{full_name, target};
pub(crate) use unfit::{Part, Suspect};

use wire::{Name, Request, Rtype, hash, name};

use node::{HIDDEN, Node, Set};
use table::Table;

/// One version of a zone, ready to answer; never changes. What the usual answer reads of it comes
/// first and is one cache line.
#[repr(C, align(64))]
pub struct Zone {
    arena: Box<[u8]>,
    table: Table,
    pub(crate) ns: ApexSet,
    apex_len: u8,
    apex_labels: u8,
    pub(crate) soa: ApexSet,
    apex: Name,
    pub(crate) apex_hash: u64,
    pub(crate) apex_at: u64,
    names: usize,
    records: usize,
    pub(crate) soa_signatures: ApexSet,
    pub(crate) ns_signatures: ApexSet,
    pub(crate) chain: Chain,
    serial: u32,
}

const _: () = assert!(std::mem::offset_of!(Zone, soa) <= 64);

/// Where a set of the apex lies in the arena: such go into the authority section of most answers.
#[derive(Clone, Copy, Default)]
pub(crate) struct ApexSet {
    at: u64,
    len: u32,
    count: u16,
    fixes: u16,
}

/// How the zone proves that something does not exist.
pub(crate) enum Chain {
    /// It does not: the SOA record has no signature, or there is no chain.
    None,
    /// NSEC: nodes with one, in canonical order.
    Nsec(Vec<u32>),
    /// NSEC3: nodes with one, in the order of hashes.
    Nsec3(Nsec3Params, Vec<u32>),
}

/// How NSEC3 hashes are made (RFC 5155 section 4).
pub(crate) struct Nsec3Params {
    pub(crate) iterations: u16,
    pub(crate) salt: Box<[u8]>,
}

/// RFC 9276 section 3.2: from here on nobody is expected to follow.
const MAX_ITERATIONS: u16 = 150;

impl Nsec3Params {
    /// The first parameters of the apex that are supported.
    fn choose(top: Node<'_>) -> Option<Self> {
        top.find(Rtype::NSEC3PARAM)?.records().find_map(|record| {
            let &[algorithm, flags, high, low, salt_len, ref salt @ ..] = record.rdata else {
                return None;
            };
            let iterations = u16::from_be_bytes([high, low]);
            let fits = algorithm == 1
                && flags == 0
                && iterations <= MAX_ITERATIONS
                && salt.len() == usize::from(salt_len);
            fits.then(|| Self { iterations, salt: salt.into() })
        })
    }

    /// Whether NSEC3 RDATA belongs to this chain.
    fn matches(&self, rdata: &[u8]) -> bool {
        let &[1, _, high, low, salt_len, ref rest @ ..] = rdata else {
            return false;
        };
        u16::from_be_bytes([high, low]) == self.iterations
            && usize::from(salt_len) == self.salt.len()
            && rest.starts_with(&self.salt)
    }
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
        let order = match &self.chain {
            Chain::None => 0,
            Chain::Nsec(order) | Chain::Nsec3(_, order) => order.capacity() * 4,
        };
        self.arena.len() + self.table.memory() + order + size_of::<Self>()
    }

    /// Whether the zone is signed in a way that it can prove absence.
    pub fn is_signed(&self) -> bool {
        !matches!(self.chain, Chain::None)
    }

    /// Whether `owner` (wire form, any case) exists, be it as an empty non-terminal or below a cut.
    pub fn has_name(&self, owner: &[u8]) -> bool {
        let mut buf = [0; name::MAX_NAME + 1];
        target(owner, 0, self.apex.as_wire(), &mut buf)
            .and_then(|relative| self.node_of(relative))
            .is_some()
    }

    /// The records of one type at exactly `owner`: no wildcards, no delegation, no aliases.
    pub fn rrset(&self, owner: &[u8], rtype: Rtype) -> Option<Rrset<'_>> {
        let mut buf = [0; name::MAX_NAME + 1];
        let relative = target(owner, 0, self.apex.as_wire(), &mut buf)?;
        let set = self.node_of(relative)?.find(rtype)?;
        Some(Rrset::new(self, set))
    }

    /// The SOA record.
    pub fn soa(&self) -> Soa {
        Soa::read(self)
    }

    /// All records, those of the apex first and its SOA before everything.
    pub fn records(&self) -> Records<'_> {
        Records::new(self)
    }

    /// Starts to fetch the node that may be the query's, once [`Whereabouts::prefetch_slot`] has asked for
    /// the line of the table that tells which it is.
    #[inline]
    pub fn prefetch_node(&self, query: &Request) {
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
    pub(crate) fn place_of(&self, hash: u64, relative: &[u8]) -> Option<u64> {
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
        let at = self.place_of(relative_hash(self.apex_hash, relative), relative)?;
        Some(self.node(at)).filter(|node| !node.has(HIDDEN))
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
