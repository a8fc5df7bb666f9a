//! How a zone proves that a name or a type does not exist: what its apex says, and the order of the proofs.

use wire::Rtype;

use super::node::Node;

/// How the zone proves that a name or a type does not exist.
pub(crate) enum Denial {
    /// Not at all: the SOA record has no signature, or the apex has neither NSEC nor NSEC3PARAM.
    None,
    /// By NSEC: offsets of the nodes that have one, in canonical order.
    Nsec(Vec<u32>),
    /// By NSEC3: offsets of the nodes that have one, in the order of their hashes.
    Nsec3(Nsec3Params, Vec<u32>),
}

/// Parameters of NSEC3 hashes (RFC 5155 section 4).
pub(crate) struct Nsec3Params {
    pub(crate) iterations: u16,
    pub(crate) salt: Box<[u8]>,
}

/// RFC 9276 section 3.2: validators may treat a zone with more iterations as insecure.
const MAX_ITERATIONS: u16 = 150;

impl Nsec3Params {
    /// The first parameters of the apex that are supported.
    pub(super) fn choose(top: Node<'_>) -> Option<Self> {
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
    pub(super) fn matches(&self, rdata: &[u8]) -> bool {
        let &[1, _, high, low, salt_len, ref rest @ ..] = rdata else {
            return false;
        };
        u16::from_be_bytes([high, low]) == self.iterations
            && usize::from(salt_len) == self.salt.len()
            && rest.starts_with(&self.salt)
    }
}
