//! The writer copies stored records into a reply and corrects the compression pointers, which depend on the
//! question.

use wire::name::{self, NameBuf};
use wire::{Class, Rcode, Reply, Request, Rtype, Section};

use crate::lookup_name::LookupName;
use crate::store::node::{FIXED, NSEC3_ONLY, Node, Set};
use crate::store::{ApexSet, Denial, Zone, relative_hash, target};

/// Offset of the question's name in every message.
const QNAME: usize = wire::HEADER;
/// The largest offset that a compression pointer can have.
const MAX_POINTER: usize = 0x3FFF;
/// Hosts at most whose addresses one reply has.
const MAX_HOSTS: usize = 64;
/// Proofs at most in one reply; no answer needs more than eight NSEC3 records.
const MAX_PROOFS: usize = 12;

/// The owner of the records that are written.
#[derive(Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// A name that is in the message: its offset, and its uncompressed length.
    At(usize, usize),
    /// A name of the zone that may be missing in the message: its labels before the apex.
    Relative(&'a [u8]),
}

/// A reply under construction from the records of a zone.
pub(crate) struct Writer<'z, 'r> {
    pub(crate) zone: &'z Zone,
    reply: &'r mut Reply,
    /// Offset of the apex in the message: the end of the question's name.
    apex_place: usize,
    apex_len: usize,
    /// Nodes whose proofs belong into the reply; those from `proofs_written` on are not written
    /// yet, because the authority section has not begun.
    proofs: [Node<'z>; MAX_PROOFS],
    proof_count: usize,
    proofs_written: usize,
}

impl<'z, 'r> Writer<'z, 'r> {
    #[inline]
    pub(crate) fn new(zone: &'z Zone, query: &Request, reply: &'r mut Reply) -> Self {
        let apex_len = zone.apex_len();
        Self {
            zone,
            reply,
            apex_place: QNAME + query.name().len().saturating_sub(apex_len),
            apex_len,
            proofs: [Node::EMPTY; MAX_PROOFS],
            proof_count: 0,
            proofs_written: 0,
        }
    }

    pub(crate) fn rcode(&mut self, rcode: Rcode) {
        self.reply.set_rcode(rcode);
    }

    pub(crate) fn has_answer(&self) -> bool {
        self.reply.count(Section::Answer) > 0
    }

    /// Makes the reply a referral, which is not authoritative unless an alias of this zone led to it.
    pub(crate) fn refer(&mut self, plain: bool) {
        self.reply.set_authoritative(!plain);
    }

    /// Writes a set and returns its offset, or `None` if the message is full.
    #[inline]
    pub(crate) fn set(
        &mut self,
        section: Section,
        set: Set<'_>,
        owner: Owner<'_>,
    ) -> Option<usize> {
        match owner {
            Owner::At(place, owner_len) if place <= MAX_POINTER => {
                self.set_at(section, set, place, owner_len)
            }
            Owner::At(..) => {
                self.reply.truncated = true;
                None
            }
            Owner::Relative(relative) => self.set_relative(section, set, relative),
        }
    }

    #[inline]
    fn set_at(
        &mut self,
        section: Section,
        set: Set<'_>,
        place: usize,
        owner_len: usize,
    ) -> Option<usize> {
        let count = usize::from(set.count);
        let plain = set.bytes.len() + count * owner_len + set.fix_count() * self.apex_len
            - 2 * (count + set.fix_count());
        let start = self.reply.push_raw(section, &[], set.bytes, set.count, plain)?;
        if set.fix_count() == 0 && place == QNAME {
            return Some(start);
        }
        let apex = pointer(self.apex_place);
        let bytes = self.reply.raw_mut(start, set.bytes.len());
        for fix in set.fixes() {
            bytes[fix..fix + 2].copy_from_slice(&apex);
        }
        if place != QNAME {
            let owner = pointer(place);
            for record in set.records() {
                bytes[record.start..record.start + 2].copy_from_slice(&owner);
            }
        }
        Some(start)
    }

    /// Writes the owner before the first record; the other records point to it.
    fn set_relative(&mut self, section: Section, set: Set<'_>, relative: &[u8]) -> Option<usize> {
        if relative.is_empty() {
            return self.set_at(section, set, self.apex_place, self.apex_len);
        }
        let owner_len = relative.len() + self.apex_len;
        if self.reply.len() > MAX_POINTER {
            self.reply.truncated = true;
            return None;
        }
        let (_, first_end) = set.record_at(0)?;
        let count = usize::from(set.count);
        let plain = set.bytes.len() + count * owner_len + set.fix_count() * self.apex_len
            - 2 * (count + set.fix_count());
        // The owner, then what follows the first record's own pointer.
        let records = self.reply.push_raw(section, relative, set.bytes, set.count, plain)?;
        let start = records - relative.len();
        let (apex, own) = (pointer(self.apex_place), pointer(start));
        let bytes = self.reply.raw_mut(records, set.bytes.len());
        for fix in set.fixes() {
            bytes[fix..fix + 2].copy_from_slice(&apex);
        }
        bytes[..2].copy_from_slice(&apex);
        let mut at = first_end;
        while let Some((record, end)) = set.record_at(at) {
            bytes[record.start..record.start + 2].copy_from_slice(&own);
            at = end;
        }
        Some(start)
    }

    #[inline]
    fn apex_set(&mut self, place: ApexSet) {
        if let Some(set) = self.zone.at_apex(place) {
            self.set_at(Section::Authority, set, self.apex_place, self.apex_len);
        }
    }

    /// Writes the NS records of the apex, as in every positive answer.
    #[inline]
    pub(crate) fn apex_ns(&mut self, dnssec: bool) {
        let zone = self.zone;
        self.apex_set(zone.ns);
        if dnssec {
            self.apex_set(zone.ns_signatures);
            self.write_proofs();
        }
    }

    /// Writes the SOA record, as in every negative answer.
    pub(crate) fn soa(&mut self, dnssec: bool) {
        let zone = self.zone;
        self.apex_set(zone.soa);
        if dnssec {
            self.apex_set(zone.soa_signatures);
            self.write_proofs();
        }
    }

    // --- proofs

    /// Notes the NSEC or NSEC3 record of a node for the authority section.
    pub(crate) fn add_proof(&mut self, node: Node<'z>) {
        let known = &self.proofs[..self.proof_count];
        if self.proof_count < MAX_PROOFS && !known.iter().any(|other| other.name() == node.name()) {
            self.proofs[self.proof_count] = node;
            self.proof_count += 1;
        }
    }

    /// Writes the noted proofs.
    pub(crate) fn write_proofs(&mut self) {
        let rtype = match &self.zone.denial {
            Denial::None => return,
            Denial::Nsec => Rtype::NSEC,
            Denial::Nsec3(_) => Rtype::NSEC3,
        };
        while self.proofs_written < self.proof_count {
            let node = self.proofs[self.proofs_written];
            self.proofs_written += 1;
            self.node_sets(Section::Authority, node, rtype, Owner::Relative(node.name()), true);
        }
    }

    fn node_sets(
        &mut self,
        section: Section,
        node: Node<'_>,
        rtype: Rtype,
        owner: Owner<'_>,
        dnssec: bool,
    ) {
        let (Some(set), signatures) = node.find_signed(rtype) else {
            return;
        };
        self.set(section, set, owner);
        if let Some(signatures) = signatures.filter(|_| dnssec) {
            self.set(section, signatures, owner);
        }
    }

    // --- additional

    /// Writes the addresses of the hosts that a set names, each host once. The set is at offset `place`.
    pub(crate) fn additional(&mut self, set: Set<'_>, place: usize, dnssec: bool) {
        let zone = self.zone;
        let skip = match set.rtype {
            Rtype::NS => 0,
            Rtype::MX | Rtype::SVCB | Rtype::HTTPS => 2,
            Rtype::SRV => 6,
            _ => return,
        };
        let mut done = [0; MAX_HOSTS];
        let mut count = 0;
        let mut buf = [0; name::MAX_NAME + 1];
        for record in set.records() {
            let Some(relative) = target(record.rdata, skip, zone.apex().as_wire(), &mut buf) else {
                continue;
            };
            let hash = relative_hash(zone.apex_hash, relative);
            let Some(node) = zone.find(hash, relative) else {
                continue;
            };
            if node.has(NSEC3_ONLY) || done[..count].contains(&node.id()) {
                continue;
            }
            if count == MAX_HOSTS {
                return;
            }
            done[count] = node.id();
            count += 1;
            let host = place + record.start + FIXED + skip;
            let owner = if host <= MAX_POINTER {
                Owner::At(host, relative.len() + self.apex_len)
            } else {
                Owner::Relative(node.name())
            };
            for rtype in [Rtype::A, Rtype::AAAA] {
                self.node_sets(Section::Additional, node, rtype, owner, dnssec);
            }
        }
    }

    // --- aliases

    /// The suffix of `name` from `label` on as an owner; `name` is at offset `place`.
    pub(crate) fn owner_of<S: LookupName>(
        &self,
        name: &S,
        label: usize,
        place: usize,
    ) -> Owner<'static> {
        let skip = name.label_at(label);
        let len = name.name().len() - skip;
        if place == QNAME {
            return Owner::At(place + skip, len);
        }
        // A name other than the question's may end in a pointer, so follow its labels in the message.
        let bytes = self.reply.bytes();
        let mut at = place;
        for _ in 0..label {
            at = resolve(bytes, at);
            at += 1 + usize::from(bytes.get(at).copied().unwrap_or(0));
        }
        Owner::At(resolve(bytes, at), len)
    }

    /// Writes a record synthesized from a DNAME: its RDATA is `prefix` and the target of the DNAME, whose set is
    /// at offset `dname`. Returns the offset of the new name.
    pub(crate) fn synthesized(
        &mut self,
        (rtype, class, ttl): (Rtype, Class, u32),
        owner_len: usize,
        owner: usize,
        prefix: &[u8],
        target: &NameBuf,
        dname: usize,
    ) -> Option<usize> {
        let near = dname + FIXED <= MAX_POINTER;
        let rdata_len = if near { prefix.len() + 2 } else { target.as_wire().len() };
        let mut bytes = [0; FIXED + name::MAX_NAME + 2];
        bytes[..2].copy_from_slice(&pointer(owner));
        bytes[2..4].copy_from_slice(&rtype.0.to_be_bytes());
        bytes[4..6].copy_from_slice(&class.0.to_be_bytes());
        bytes[6..10].copy_from_slice(&ttl.to_be_bytes());
        bytes[10..12].copy_from_slice(&(rdata_len as u16).to_be_bytes());
        let end = FIXED + rdata_len;
        if near {
            bytes[FIXED..end - 2].copy_from_slice(prefix);
            bytes[end - 2..end].copy_from_slice(&pointer(dname + FIXED));
        } else {
            bytes[FIXED..end].copy_from_slice(target.as_wire());
        }
        let plain = owner_len + 10 + target.as_wire().len();
        if owner > MAX_POINTER {
            self.reply.truncated = true;
            return None;
        }
        let start = self.reply.push_raw(Section::Answer, &[], &bytes[..end], 1, plain)?;
        Some(start + FIXED)
    }
}

#[inline]
fn pointer(place: usize) -> [u8; 2] {
    (0xC000 | place as u16 & MAX_POINTER as u16).to_be_bytes()
}

/// The offset of the label at `at`, after pointers.
fn resolve(bytes: &[u8], mut at: usize) -> usize {
    while let Some([high, low]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>())
        && *high >= 0xC0
    {
        let to = usize::from(high & 0x3F) << 8 | usize::from(*low);
        if to >= at {
            break;
        }
        at = to;
    }
    at
}
