//! Proofs that a name or a type does not exist: NSEC (RFC 4035 section 3.1.3) and NSEC3 (RFC 5155
//! section 7.2).

use std::cmp::Ordering;

use data_encoding::BASE32_DNSSEC;
use ring::digest;
use wire::name;

use crate::lookup_name::LookupName;
use crate::patch::Entry;
use crate::store::node::Node;
use crate::store::{Denial, Nsec3Params, Zone};
use crate::write::Writer;

/// A label of an NSEC3 owner: its length and 32 digits.
type HashLabel = [u8; 33];

impl<'z> Writer<'z, '_> {
    /// Proves that the name exists without the type. `node` is the name's.
    #[cold]
    pub(crate) fn prove_no_data<S: LookupName>(&mut self, name: &S, node: Node<'z>) {
        let zone = self.zone;
        match &zone.denial {
            Denial::None => return,
            Denial::Nsec => self.add_nsec_of(node, name.relative(zone, 0)),
            Denial::Nsec3(params) => self.add_match_or_encloser(params, name, 0),
        }
        self.write_proofs();
    }

    /// Proves that the wildcard that covers the name has no such type. `node` is the wildcard's.
    #[cold]
    pub(crate) fn prove_wildcard_no_data<S: LookupName>(
        &mut self,
        name: &S,
        encloser: usize,
        node: Node<'z>,
    ) {
        let zone = self.zone;
        match &zone.denial {
            Denial::None => return,
            Denial::Nsec => {
                let wildcard = Wildcard::below(name.relative(zone, encloser));
                self.add_nsec_of(node, wildcard.name());
                self.add_cover(name.relative(zone, 0));
            }
            Denial::Nsec3(params) => {
                self.add_encloser(params, name, encloser);
                let wildcard = Wildcard::below(name.relative(zone, encloser));
                self.add_match(&params.label(zone, wildcard.name()));
            }
        }
        self.write_proofs();
    }

    /// Proves that neither the name nor a wildcard for it exists.
    #[cold]
    pub(crate) fn prove_missing<S: LookupName>(&mut self, name: &S, encloser: usize) {
        let zone = self.zone;
        match &zone.denial {
            Denial::None => return,
            Denial::Nsec => {
                let wildcard = Wildcard::below(name.relative(zone, encloser));
                self.add_cover(name.relative(zone, 0));
                self.add_cover(wildcard.name());
            }
            Denial::Nsec3(params) => {
                let encloser = self.add_encloser(params, name, encloser);
                let wildcard = Wildcard::below(name.relative(zone, encloser));
                self.add_cover(&params.label(zone, wildcard.name()));
            }
        }
        self.write_proofs();
    }

    /// Proves that the delegation at `label`, whose node is `node`, has no DS record.
    #[cold]
    pub(crate) fn prove_insecure<S: LookupName>(&mut self, name: &S, node: Node<'z>, label: usize) {
        let zone = self.zone;
        match &zone.denial {
            Denial::None => return,
            Denial::Nsec => self.add_nsec_of(node, name.relative(zone, label)),
            Denial::Nsec3(params) => self.add_match_or_encloser(params, name, label),
        }
        self.write_proofs();
    }

    /// Notes the proof that no name closer than the wildcard exists. It is written with the authority section.
    pub(crate) fn note_expansion_proof<S: LookupName>(
        &mut self,
        name: &S,
        encloser: usize,
        dnssec: bool,
    ) {
        if !dnssec {
            return;
        }
        let zone = self.zone;
        match &zone.denial {
            Denial::None => {}
            Denial::Nsec => self.add_cover(name.relative(zone, 0)),
            Denial::Nsec3(params) => {
                let closer = name.relative(zone, encloser.saturating_sub(1));
                self.add_cover(&params.label(zone, closer));
            }
        }
    }

    /// Adds the NSEC record of a node, or the one that covers its name if it has none.
    fn add_nsec_of(&mut self, node: Node<'z>, relative: &[u8]) {
        match node.find(wire::Rtype::NSEC) {
            Some(_) => self.add_proof(node),
            None => self.add_cover(relative),
        }
    }

    /// Adds the record whose owner equals `relative` or precedes it.
    fn add_cover(&mut self, relative: &[u8]) {
        let zone = self.zone;
        if let Some(proof) = zone.proof_before(relative).or_else(|| zone.last_proof()) {
            self.add_proof(proof);
        }
    }

    /// Adds the NSEC3 record with the owner `label`; `false` if there is none.
    fn add_match(&mut self, label: &HashLabel) -> bool {
        let found = self.zone.proof_before(label).filter(|proof| proof.name() == label);
        if let Some(proof) = found {
            self.add_proof(proof);
        }
        found.is_some()
    }

    /// Adds the closest encloser proof (RFC 5155 section 7.2.1): the closest encloser exists, the name one label
    /// longer does not. Returns the label of the encloser, which is `encloser` unless that one has no proof.
    fn add_encloser<S: LookupName>(
        &mut self,
        params: &Nsec3Params,
        name: &S,
        encloser: usize,
    ) -> usize {
        let zone = self.zone;
        // Below an opt-out span an encloser may have no NSEC3 of its own: go up to one that has.
        for label in encloser..=name.depth(zone) {
            if self.add_match(&params.label(zone, name.relative(zone, label))) {
                if label > 0 {
                    let closer = name.relative(zone, label - 1);
                    self.add_cover(&params.label(zone, closer));
                }
                return label;
            }
        }
        encloser
    }

    /// Adds the NSEC3 record of the name from `label` on, or the proof that an opt-out span covers it.
    fn add_match_or_encloser<S: LookupName>(
        &mut self,
        params: &Nsec3Params,
        name: &S,
        label: usize,
    ) {
        let own = params.label(self.zone, name.relative(self.zone, label));
        if !self.add_match(&own) {
            self.add_encloser(params, name, label + 1);
        }
    }
}

impl Zone {
    /// The last proof whose owner does not follow `relative` in canonical order.
    fn proof_before(&self, relative: &[u8]) -> Option<Node<'_>> {
        let flat = self.flat();
        let index = flat.proofs_until(relative).checked_sub(1);
        let Some(overlay) = &self.overlay else {
            return index.and_then(|index| self.proof(index));
        };
        let index = index.and_then(|index| overlay.order.left(index as u32));
        let old = index.and_then(|index| flat.proof(index as usize));
        later(old, overlay.order.before(relative).map(Entry::node))
    }

    /// The last proof in canonical order.
    fn last_proof(&self) -> Option<Node<'_>> {
        let flat = self.flat();
        let index = flat.order.len().checked_sub(1);
        let Some(overlay) = &self.overlay else {
            return index.and_then(|index| self.proof(index));
        };
        let index = index.and_then(|index| overlay.order.left(index as u32));
        let old = index.and_then(|index| flat.proof(index as usize));
        later(old, overlay.order.last().map(Entry::node))
    }

    fn proof(&self, index: usize) -> Option<Node<'_>> {
        self.order.get(index).map(|&at| self.node(u64::from(at)))
    }

    /// How many proofs of a flat version have owners that do not follow `relative`.
    pub(crate) fn proofs_until(&self, relative: &[u8]) -> usize {
        self.order.partition_point(|&at| {
            let name = self.node(u64::from(at)).name();
            name::canonical_cmp(name, relative) != Ordering::Greater
        })
    }
}

/// The node whose name follows the other's in canonical order.
fn later<'z>(one: Option<Node<'z>>, other: Option<Node<'z>>) -> Option<Node<'z>> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let order = name::canonical_cmp(one.name(), other.name());
            Some(if order == Ordering::Greater { one } else { other })
        }
        (one, other) => one.or(other),
    }
}

/// The name of a wildcard.
struct Wildcard {
    bytes: [u8; name::MAX_NAME + 2],
    len: usize,
}

impl Wildcard {
    fn below(relative: &[u8]) -> Self {
        let mut bytes = [0; name::MAX_NAME + 2];
        bytes[..2].copy_from_slice(b"\x01*");
        bytes[2..2 + relative.len()].copy_from_slice(relative);
        Self { bytes, len: 2 + relative.len() }
    }

    fn name(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Nsec3Params {
    /// The owner label of a name: its hash in base32hex (RFC 5155 section 5), lower case.
    pub(crate) fn label(&self, zone: &Zone, relative: &[u8]) -> HashLabel {
        let hash = self.hash(&[relative, zone.apex().as_wire()]);
        let mut label = [0; 33];
        label[0] = 32;
        BASE32_DNSSEC.encode_mut(&hash, &mut label[1..]);
        label
    }

    fn hash(&self, parts: &[&[u8]]) -> [u8; 20] {
        let once = |parts: &[&[u8]]| {
            let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
            for part in parts {
                context.update(part);
            }
            context.update(&self.salt);
            let mut out = [0; 20];
            out.copy_from_slice(&context.finish().as_ref()[..20]);
            out
        };
        let mut hash = once(parts);
        for _ in 0..self.iterations {
            hash = once(&[&hash]);
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Name;

    /// RFC 5155 appendix A.
    #[test]
    fn hashes_are_those_of_the_rfc() {
        let params = Nsec3Params { iterations: 12, salt: [0xAA, 0xBB, 0xCC, 0xDD].into() };
        let zone = Name::from_text("example.").unwrap();
        let mut builder = crate::Builder::new(&zone, 0);
        let soa = [&[0, 0][..], &[0; 20]].concat();
        let record = crate::RecordRef {
            owner: zone.as_wire(),
            rtype: wire::Rtype::SOA,
            class: wire::Class::IN,
            ttl: 1,
            rdata: &soa,
        };
        builder.add(record).unwrap();
        let zone = builder.finish().ok().unwrap();
        for (relative, expect) in [
            (&b""[..], "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            (b"\x01a", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            (b"\x01*\x01w", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ] {
            let label = params.label(&zone, relative);
            assert_eq!(std::str::from_utf8(&label[1..]).unwrap(), expect);
        }
    }
}
