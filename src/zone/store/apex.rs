//! What the apex says of the whole zone: the sets that most answers have, the serial, and how the zone proves
//! that a name or a type does not exist.

use wire::Rtype;

use super::node::{Node, Set};

/// The location of a set of the apex in the arena: the authority section of most answers has one.
#[derive(Clone, Copy, Default)]
pub(crate) struct ApexSet {
    pub(super) at: u64,
    pub(super) len: u32,
    pub(super) count: u16,
    pub(super) fixes: u16,
}

impl ApexSet {
    /// A set that starts at offset `at` of the arena.
    fn new(set: Set<'_>, at: u64) -> Self {
        Self { at, len: set.bytes.len() as u32, count: set.count, fixes: set.fix_count() as u16 }
    }
}

/// What the records of the apex say.
pub(crate) struct Apex {
    pub(crate) soa: ApexSet,
    pub(crate) soa_signatures: ApexSet,
    pub(crate) ns: ApexSet,
    pub(crate) ns_signatures: ApexSet,
    pub(crate) serial: u32,
    pub(crate) denial: Denial,
}

impl Apex {
    /// Reads the apex, whose node is at offset `at`. `nsec3`: the zone has NSEC3 records.
    pub(crate) fn read(top: Node<'_>, at: u64, nsec3: bool) -> Self {
        let (soa, soa_signatures) = top.find_signed(Rtype::SOA);
        let (ns, ns_signatures) = top.find_signed(Rtype::NS);
        let serial = soa.and_then(|set| set.records().next()).and_then(|record| {
            let at = record.rdata.len().checked_sub(20)?;
            Some(u32::from_be_bytes(*record.rdata[at..].first_chunk()?))
        });
        let place = |set: Option<Set<'_>>| {
            set.map_or_else(ApexSet::default, |set| ApexSet::new(set, at + top.offset_of(set)))
        };
        Self {
            soa: place(soa),
            ns: place(ns),
            ns_signatures: place(ns_signatures),
            serial: serial.unwrap_or(0),
            // NSEC and NSEC3 records without signatures prove nothing.
            denial: match soa_signatures {
                Some(_) => Denial::of(top, nsec3),
                None => Denial::None,
            },
            soa_signatures: place(soa_signatures),
        }
    }
}

/// How the zone proves that a name or a type does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// Not at all: the SOA record has no signature, or the apex has neither NSEC nor NSEC3PARAM.
    None,
    /// By NSEC.
    Nsec,
    /// By NSEC3.
    Nsec3(Nsec3Params),
}

impl Denial {
    fn of(top: Node<'_>, nsec3: bool) -> Self {
        match Nsec3Params::choose(top).filter(|_| nsec3) {
            Some(params) => Self::Nsec3(params),
            None if top.find(Rtype::NSEC).is_some() => Self::Nsec,
            None => Self::None,
        }
    }

    /// Whether the records of this node are a proof. `occluded`: it is below a zone cut or a DNAME.
    pub(crate) fn is_proof(&self, node: Node<'_>, occluded: bool) -> bool {
        match self {
            Self::None => false,
            Self::Nsec => !occluded && node.find(Rtype::NSEC).is_some(),
            // An NSEC3 record at another owner is never found by a hash.
            Self::Nsec3(params) => {
                node.name().len() == HASH_LABEL
                    && node
                        .find(Rtype::NSEC3)
                        .is_some_and(|set| set.records().any(|record| params.matches(record.rdata)))
            }
        }
    }
}

/// A SHA-1 hash in base32hex, with its length octet (RFC 5155 section 3).
const HASH_LABEL: usize = 33;

/// Parameters of NSEC3 hashes (RFC 5155 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nsec3Params {
    pub(crate) iterations: u16,
    pub(crate) salt: Box<[u8]>,
}

/// RFC 9276 section 3.2: validators may treat a zone with more iterations as insecure.
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

    /// Whether NSEC3 RDATA has these parameters.
    fn matches(&self, rdata: &[u8]) -> bool {
        let &[1, _, high, low, salt_len, ref rest @ ..] = rdata else {
            return false;
        };
        u16::from_be_bytes([high, low]) == self.iterations
            && usize::from(salt_len) == self.salt.len()
            && rest.starts_with(&self.salt)
    }
}
