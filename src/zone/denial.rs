//! Proofs that a name or a type does not exist: NSEC (RFC 4035 section 3.1.3) and NSEC3 (RFC 5155
//! section 7.2).

use std::cmp::Ordering;

use data_encoding::BASE32_DNSSEC;
use ring::digest;
use wire::name;

use crate::lookup_name::LookupName;
use crate::store::node::NSEC3_ONLY;
use crate::store::{Denial, Nsec3Params, Zone};
use crate::write::Writer;

/// A label of an NSEC3 owner: its length and 32 digits.
type HashLabel = [u8; 33];

impl Writer<'_, '_> {
    /// Proves that the name exists without the type. `node` is the offset of the name's node.
    #[cold]
    pub(crate) fn prove_no_data<S: LookupName>(&mut self, name: &S, node: u64) {
        let zone = self.zone;
        match &zone.denial {
            Denial::None => return,
            Denial::Nsec(order) => {
                self.add_nsec_at(zone, order, node, name.relative(zone, 0));
            }
            Denial::Nsec3(params, order) => {
                let (params, order) = (params, order.as_slice());
                self.add_match_or_encloser(zone, params, order, name, 0);
            }
        }
        self.write_proofs();
    }

    /// Proves that the wildcard that covers the name has no such type. `node` is the wildcard's offset.
    #[cold]
    pub(crate) fn prove_wildcard_no_data<S: LookupName>(
        &mut self,
        name: &S,
        encloser: usize,
        node: u64,
    ) {
        let zone = self.zone;
        match &zone.denial {
            Denial::None => return,
            Denial::Nsec(order) => {
                let wildcard = Wildcard::below(name.relative(zone, encloser));
                self.add_nsec_at(zone, order, node, wildcard.name());
                self.add_cover(zone, order, name.relative(zone, 0));
            }
            Denial::Nsec3(params, order) => {
                let (params, order) = (params, order.as_slice());
                self.add_encloser(zone, params, order, name, encloser);
                let wildcard = Wildcard::below(name.relative(zone, encloser));
                self.add_match(zone, order, &params.label(zone, wildcard.name()));
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
            Denial::Nsec(order) => {
                let wildcard = Wildcard::below(name.relative(zone, encloser));
                self.add_cover(zone, order, name.relative(zone, 0));
                self.add_cover(zone, order, wildcard.name());
            }
            Denial::Nsec3(params, order) => {
                let (params, order) = (params, order.as_slice());
                let encloser = self.add_encloser(zone, params, order, name, encloser);
                let wildcard = Wildcard::below(name.relative(zone, encloser));
                self.add_cover(zone, order, &params.label(zone, wildcard.name()));
            }
        }
        self.write_proofs();
    }

    /// Proves that the delegation at `label`, whose node is at offset `node`, has no DS record.
    #[cold]
    pub(crate) fn prove_insecure<S: LookupName>(&mut self, name: &S, node: u64, label: usize) {
        let zone = self.zone;
        match &zone.denial {
            Denial::None => return,
            Denial::Nsec(order) => {
                self.add_nsec_at(zone, order, node, name.relative(zone, label));
            }
            Denial::Nsec3(params, order) => {
                let (params, order) = (params, order.as_slice());
                self.add_match_or_encloser(zone, params, order, name, label);
            }
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
            Denial::Nsec(order) => self.add_cover(zone, order, name.relative(zone, 0)),
            Denial::Nsec3(params, order) => {
                let closer = name.relative(zone, encloser.saturating_sub(1));
                self.add_cover(zone, order, &params.label(zone, closer));
            }
        }
    }

    /// Adds the NSEC record of a node, or the one that covers its name if it has none.
    fn add_nsec_at(&mut self, zone: &Zone, order: &[u32], node: u64, relative: &[u8]) {
        match u32::try_from(node) {
            Ok(place) if zone.node(node).find(wire::Rtype::NSEC).is_some() => self.add_proof(place),
            _ => self.add_cover(zone, order, relative),
        }
    }

    /// Adds the record whose owner equals `relative` or precedes it.
    fn add_cover(&mut self, zone: &Zone, order: &[u32], relative: &[u8]) {
        if let Some(&place) = before(zone, order, relative).or_else(|| order.last()) {
            self.add_proof(place);
        }
    }

    /// Adds the NSEC3 record with the owner `label`; `false` if there is none.
    fn add_match(&mut self, zone: &Zone, order: &[u32], label: &HashLabel) -> bool {
        let found = before(zone, order, label)
            .filter(|&&place| zone.node(u64::from(place)).name() == label);
        if let Some(&place) = found {
            self.add_proof(place);
        }
        found.is_some()
    }

    /// Adds the closest encloser proof (RFC 5155 section 7.2.1): the closest encloser exists, the name one label
    /// longer does not. Returns the label of the encloser, which is `encloser` unless that one has no proof.
    fn add_encloser<S: LookupName>(
        &mut self,
        zone: &Zone,
        params: &Nsec3Params,
        order: &[u32],
        name: &S,
        encloser: usize,
    ) -> usize {
        // Below an opt-out span an encloser may have no NSEC3 of its own: go up to one that has.
        for label in encloser..=name.depth(zone) {
            if self.add_match(zone, order, &params.label(zone, name.relative(zone, label))) {
                if label > 0 {
                    let closer = name.relative(zone, label - 1);
                    self.add_cover(zone, order, &params.label(zone, closer));
                }
                return label;
            }
        }
        encloser
    }

    /// Adds the NSEC3 record of the name from `label` on, or the proof that an opt-out span covers it.
    fn add_match_or_encloser<S: LookupName>(
        &mut self,
        zone: &Zone,
        params: &Nsec3Params,
        order: &[u32],
        name: &S,
        label: usize,
    ) {
        if !self.add_match(zone, order, &params.label(zone, name.relative(zone, label))) {
            self.add_encloser(zone, params, order, name, label + 1);
        }
    }
}

/// The last of `order` that does not follow `relative`.
fn before<'o>(zone: &Zone, order: &'o [u32], relative: &[u8]) -> Option<&'o u32> {
    let behind = order.partition_point(|&place| {
        let node = zone.node(u64::from(place));
        debug_assert!(!node.has(NSEC3_ONLY) || node.name().len() == 33);
        name::canonical_cmp(node.name(), relative) != Ordering::Greater
    });
    behind.checked_sub(1).and_then(|index| order.get(index))
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
