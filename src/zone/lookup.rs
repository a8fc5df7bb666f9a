//! Answers from a zone: RFC 1034 section 4.3.2 as a list of steps.
//!
//! [`Zone::answer`] looks up the name (`Lookup::find`). What it finds selects one step (`write_*`), which writes
//! the records into the reply. An alias starts the lookup again with its target.
//!
//! Choices where servers differ: ANY is answered with all sets of the name, as named does; knotd and nsd
//! choose one set (RFC 8482 section 4.1), and the plugin `any` gives a shorter answer. No name has records
//! of the other meta types.

use wire::name::NameBuf;
use wire::{Class, Rcode, Reply, Request, Rtype, Section};

use crate::lookup_name::{AliasTarget, LookupName};
use crate::store::node::{CUT, DNAME, FIXED, NSEC3_ONLY, OCCLUDED, Set, WILD_CHILD};
use crate::store::{self, Zone};
use crate::write::{Owner, Writer};

/// Aliases that one answer follows inside the zone at most.
const MAX_ALIASES: usize = 20;
/// DNAME redirections that lengthen the name at most: a DNAME whose target is below its owner lengthens it
/// each time.
const MAX_LENGTHENED: usize = 5;

/// The result of a lookup; the records and the rcode are in the reply.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would allocate for each answer")]
pub enum Outcome {
    /// Records of the type asked for.
    Answered,
    /// A referral to the servers of a zone below.
    Referral,
    /// The name exists, the type does not.
    NoData,
    /// The name is an empty non-terminal.
    EmptyNonTerminal,
    /// The name does not exist.
    NxDomain,
    /// The answer ends with an alias whose target is outside of the zone. The caller resolves `target` and
    /// passes the reply to [`Zone::complete_alias`], or else calls [`Zone::push_authority`].
    External {
        /// Target of the alias, in lower case.
        target: NameBuf,
    },
    /// No answer, for this reason. The content of the reply is meaningless.
    ServFail(&'static str),
}

/// The part of the zone that decides the answer for a name.
enum Found {
    /// A node with this name.
    Exact { node: u64 },
    /// No node, but a wildcard below the closest encloser, which starts at label `encloser`.
    Wildcard { node: u64, encloser: usize },
    /// A zone cut at the name from label `label` on.
    Cut { node: u64, label: usize },
    /// A DNAME above the name, at the suffix from label `label` on.
    Redirected { node: u64, label: usize },
    /// No node; the closest encloser starts at label `encloser`.
    Missing { encloser: usize },
}

/// What follows a step.
enum Next {
    Done(Outcome),
    /// The lookup of an alias's target, which is at this offset of the message.
    Follow(NameBuf, usize),
}

impl Zone {
    /// Answers a query for a name at or below the apex.
    pub fn answer(&self, query: &Request, reply: &mut Reply) -> Outcome {
        if query.labels() < self.apex_labels() {
            return Outcome::ServFail("the name is not in the zone");
        }
        reply.set_authoritative(true);
        reply.set_rcode(Rcode::NOERROR);
        let mut lookup = Lookup::new(self, query, reply);
        let found = lookup.find(query, self.find_offset(query.hash(0), query.relative(self, 0)));
        match lookup.write(query, found, 12) {
            Next::Done(outcome) => outcome,
            Next::Follow(target, at) => lookup.follow(query.hash(0), target, at),
        }
    }

    /// Completes a reply that ends with an alias whose target is outside of the zone. `found` is the answer for
    /// the target.
    ///
    /// The rcode is that of the last name (RFC 6604 section 3). As in CoreDNS, the authority section is that of
    /// this zone.
    pub fn complete_alias(&self, query: &Request, reply: &mut Reply, found: &Reply) {
        if found.is_silent() {
            return self.push_authority(query, reply);
        }
        reply.append_answer(found);
        match found.rcode() {
            Rcode::NXDOMAIN => {
                reply.set_rcode(Rcode::NXDOMAIN);
                self.push_negative(query, reply);
            }
            Rcode::SERVFAIL => {
                reply.set_rcode(Rcode::SERVFAIL);
                self.push_authority(query, reply);
            }
            Rcode::NOERROR if found.count(Section::Answer) == 0 => self.push_negative(query, reply),
            _ => self.push_authority(query, reply),
        }
    }

    /// Adds the NS records of the apex to the authority section, as in every positive answer.
    pub fn push_authority(&self, query: &Request, reply: &mut Reply) {
        let mut lookup = Lookup::new(self, query, reply);
        lookup.note_expansion_proof(query);
        lookup.out.apex_ns(lookup.dnssec);
    }

    /// Adds the SOA record to the authority section, as in every negative answer.
    pub fn push_negative(&self, query: &Request, reply: &mut Reply) {
        let mut lookup = Lookup::new(self, query, reply);
        lookup.note_expansion_proof(query);
        lookup.out.soa(lookup.dnssec);
    }
}

/// The lookup of one query.
struct Lookup<'z, 'r> {
    zone: &'z Zone,
    qtype: Rtype,
    dnssec: bool,
    /// The DNAME nodes written last, and the offsets of their records in the message.
    dnames: [(u64, usize); 4],
    lengthened: usize,
    out: Writer<'z, 'r>,
}

impl<'z, 'r> Lookup<'z, 'r> {
    #[inline]
    fn new(zone: &'z Zone, query: &Request, reply: &'r mut Reply) -> Self {
        Self {
            zone,
            qtype: query.qtype(),
            dnssec: query.wants_dnssec(),
            dnames: [(0, 0); 4],
            lengthened: 0,
            out: Writer::new(zone, query, reply),
        }
    }

    // --- finding

    /// Notes the proof of the wildcard expansion, if the answer comes from a wildcard.
    fn note_expansion_proof(&mut self, query: &Request) {
        if !self.dnssec || !self.zone.is_signed() || query.labels() < self.zone.apex_labels() {
            return;
        }
        let exact = self.zone.find_offset(query.hash(0), query.relative(self.zone, 0));
        if let Found::Wildcard { encloser, .. } = self.find(query, exact) {
            self.out.note_expansion_proof(query, encloser, true);
        }
    }

    /// Finds a name; `exact` is the offset of its node, if it has one.
    #[inline]
    fn find<S: LookupName>(&self, name: &S, exact: Option<u64>) -> Found {
        if let Some(at) = exact {
            let flags = self.zone.node(at).flags();
            if flags & (CUT | OCCLUDED | NSEC3_ONLY) == 0 {
                return Found::Exact { node: at };
            }
            if flags & OCCLUDED != 0 {
                return self.find_from_top(name);
            }
            if flags & CUT != 0 {
                return self.cut(at, 0);
            }
        }
        self.find_above(name)
    }

    /// A zone cut. The parent side answers for DS, and the child for all other types.
    fn cut(&self, node: u64, label: usize) -> Found {
        if label == 0 && self.qtype == Rtype::DS {
            return Found::Exact { node };
        }
        Found::Cut { node, label }
    }

    /// Finds the closest encloser of a name that does not exist.
    fn find_above<S: LookupName>(&self, name: &S) -> Found {
        let depth = name.depth(self.zone);
        for label in 1..=depth {
            let relative = name.relative(self.zone, label);
            let hash = name.hash(label);
            let Some(at) = self.zone.find_offset(hash, relative) else {
                continue;
            };
            let flags = self.zone.node(at).flags();
            if flags & NSEC3_ONLY != 0 {
                continue;
            }
            if flags & OCCLUDED != 0 {
                return self.find_from_top(name);
            }
            if flags & CUT != 0 {
                return Found::Cut { node: at, label };
            }
            if flags & DNAME != 0 {
                return Found::Redirected { node: at, label };
            }
            if flags & WILD_CHILD != 0
                && let Some(node) = self.zone.wildcard_below(hash, relative)
            {
                return Found::Wildcard { node, encloser: label };
            }
            return Found::Missing { encloser: label };
        }
        Found::Missing { encloser: depth }
    }

    /// Finds the topmost zone cut or DNAME that occludes a name.
    fn find_from_top<S: LookupName>(&self, name: &S) -> Found {
        for label in (0..=name.depth(self.zone)).rev() {
            let relative = name.relative(self.zone, label);
            let Some(at) = self.zone.find_offset(name.hash(label), relative) else {
                continue;
            };
            let flags = self.zone.node(at).flags();
            if flags & CUT != 0 {
                return self.cut(at, label);
            }
            if flags & DNAME != 0 && label > 0 {
                return Found::Redirected { node: at, label };
            }
        }
        self.find_above(name)
    }

    // --- following

    /// Looks up the targets of aliases until the lookup ends.
    #[cold]
    fn follow(&mut self, first: u64, mut next: NameBuf, mut at: usize) -> Outcome {
        let mut seen = [0; MAX_ALIASES + 1];
        seen[0] = first;
        let mut target = AliasTarget::new();
        for round in 1..=MAX_ALIASES {
            if !target.set(self.zone, next.as_wire()) {
                next.set_folded(target.name());
                return Outcome::External { target: next };
            }
            // A loop ends where it closes, so the answer has each of its records once.
            let hash = target.hash(0);
            if seen[..round].contains(&hash) {
                return self.end_of_aliases();
            }
            seen[round] = hash;
            let exact = self.zone.find_offset(hash, target.relative(self.zone, 0));
            let found = self.find(&target, exact);
            match self.write(&target, found, at) {
                Next::Done(outcome) => return outcome,
                Next::Follow(name, place) => (next, at) = (name, place),
            }
        }
        self.end_of_aliases()
    }

    /// Ends a chain of aliases that loops or is too long: the answer has its records so far.
    fn end_of_aliases(&mut self) -> Outcome {
        self.out.apex_ns(self.dnssec);
        Outcome::Answered
    }

    // --- writing

    /// Selects the step. `at` is the offset of the name in the message.
    #[inline]
    fn write<S: LookupName>(&mut self, name: &S, found: Found, at: usize) -> Next {
        match found {
            Found::Exact { node } => self.write_exact(name, node, at),
            Found::Wildcard { node, encloser } => self.write_wildcard(name, node, encloser, at),
            Found::Cut { node, label } => self.write_referral(name, node, label, at),
            Found::Redirected { node, label } => self.write_redirected(name, node, label, at),
            Found::Missing { encloser } => self.write_missing(name, encloser),
        }
    }

    #[inline]
    fn write_exact<S: LookupName>(&mut self, name: &S, at: u64, place: usize) -> Next {
        let node = self.zone.node(at);
        let qtype = self.qtype;
        let Some(set) = node.sets().find(|set| set.rtype == qtype || set.rtype == Rtype::CNAME)
        else {
            return match qtype {
                Rtype::ANY if !node.is_empty() => self.write_any(at, name.name().len(), place),
                _ => self.write_no_data(name, at),
            };
        };
        if set.rtype != qtype {
            // A type that may stand beside a CNAME is answered here, any other at the target.
            return match node.find(qtype) {
                Some(_) => self.write_positive(at, name.name().len(), place),
                None if qtype == Rtype::ANY => self.write_any(at, name.name().len(), place),
                None if may_stand_beside_cname(qtype) => self.write_no_data(name, at),
                None => self.write_alias(at, name.name().len(), place),
            };
        }
        self.write_positive(at, name.name().len(), place)
    }

    /// Writes the records of the type, the NS records of the apex, and the addresses of hosts.
    #[inline]
    fn write_positive(&mut self, at: u64, owner_len: usize, place: usize) -> Next {
        // A chain of redirections may end at a DNAME that is in the answer already.
        let there = self.qtype == Rtype::DNAME && self.dnames.iter().any(|&(node, _)| node == at);
        let named = if there { None } else { self.write_answer(at, owner_len, place) };
        // The answer section has the NS records of the apex if the query is for them.
        if self.qtype == Rtype::NS && at == self.zone.apex_at {
            self.out.write_proofs();
        } else {
            self.out.apex_ns(self.dnssec);
        }
        if let Some((set, place)) = named {
            self.out.additional(set, place, self.dnssec);
        }
        Next::Done(Outcome::Answered)
    }

    /// Writes the answer section. Returns the set and its offset if its records name hosts.
    #[inline]
    fn write_answer(
        &mut self,
        at: u64,
        owner_len: usize,
        place: usize,
    ) -> Option<(Set<'z>, usize)> {
        let node = self.zone.node(at);
        let owner = Owner::At(place, owner_len);
        if self.qtype == Rtype::RRSIG {
            self.write_sets(at, owner);
            return None;
        }
        if !self.dnssec {
            let set = node.find(self.qtype)?;
            let written = self.out.set(Section::Answer, set, owner);
            return written.filter(|_| names_hosts(set.rtype)).map(|place| (set, place));
        }
        let (set, signatures) = node.find_signed(self.qtype);
        let set = set?;
        let written = self.out.set(Section::Answer, set, owner);
        if let Some(signatures) = signatures {
            self.out.set(Section::Answer, signatures, owner);
        }
        written.filter(|_| names_hosts(set.rtype)).map(|place| (set, place))
    }

    /// ANY: every set of the name. RFC 4035 section 3.1 wants signatures and NSEC records among them,
    /// whether or not the query has DO. A CNAME is not followed: RFC 1034 section 4.3.2 step 3a does
    /// so only "if QTYPE doesn't match CNAME". Addresses of hosts that the records name stay out, for
    /// the reply is large without them.
    #[cold]
    fn write_any(&mut self, at: u64, owner_len: usize, place: usize) -> Next {
        self.write_sets(at, Owner::At(place, owner_len));
        if at == self.zone.apex_at {
            self.out.write_proofs();
        } else {
            self.out.apex_ns(self.dnssec);
        }
        Next::Done(Outcome::Answered)
    }

    /// Writes all sets of a node for ANY, and its signatures for RRSIG.
    #[cold]
    fn write_sets(&mut self, at: u64, owner: Owner<'_>) {
        // A chain of redirections may end at a DNAME that is in the answer with its signature.
        let there = self.dnames.iter().any(|&(node, _)| node == at);
        let all = self.qtype == Rtype::ANY;
        for set in self.zone.node(at).sets() {
            let again = there
                && (set.rtype == Rtype::DNAME || self.dnssec && set.covers() == Some(Rtype::DNAME));
            if (all || set.rtype == Rtype::RRSIG) && !again {
                self.out.set(Section::Answer, set, owner);
            }
        }
    }

    /// Writes a CNAME, whose target is looked up next.
    fn write_alias(&mut self, at: u64, owner_len: usize, place: usize) -> Next {
        let (Some(set), signatures) = self.zone.node(at).find_signed(Rtype::CNAME) else {
            return Next::Done(Outcome::ServFail("an alias without a record"));
        };
        let owner = Owner::At(place, owner_len);
        let written = self.out.set(Section::Answer, set, owner);
        if self.dnssec
            && let Some(signatures) = signatures
        {
            self.out.set(Section::Answer, signatures, owner);
        }
        let mut target = NameBuf::new();
        match (written, set.records().next()) {
            (Some(written), Some(record)) => {
                store::full_name(record.rdata, 0, self.zone.apex().as_wire(), &mut target);
                Next::Follow(target, written + FIXED)
            }
            _ => Next::Done(Outcome::Answered),
        }
    }

    fn write_no_data<S: LookupName>(&mut self, name: &S, at: u64) -> Next {
        self.out.soa(self.dnssec);
        let empty = self.zone.node(at).is_empty();
        if self.dnssec {
            self.out.prove_no_data(name, at);
        }
        Next::Done(if empty { Outcome::EmptyNonTerminal } else { Outcome::NoData })
    }

    /// RFC 4592: writes the wildcard's records with the name of the query.
    fn write_wildcard<S: LookupName>(
        &mut self,
        name: &S,
        at: u64,
        encloser: usize,
        place: usize,
    ) -> Next {
        let node = self.zone.node(at);
        let owner_len = name.name().len();
        if node.find(self.qtype).is_none() {
            if self.qtype == Rtype::ANY && !node.is_empty() {
                self.out.note_expansion_proof(name, encloser, self.dnssec);
                return self.write_any(at, owner_len, place);
            }
            if node.find(Rtype::CNAME).is_some() && !may_stand_beside_cname(self.qtype) {
                self.out.note_expansion_proof(name, encloser, self.dnssec);
                return self.write_alias(at, owner_len, place);
            }
            self.out.soa(self.dnssec);
            if self.dnssec {
                self.out.prove_wildcard_no_data(name, encloser, at);
            }
            return Next::Done(Outcome::NoData);
        }
        self.out.note_expansion_proof(name, encloser, self.dnssec);
        self.write_positive(at, owner_len, place)
    }

    /// Writes a referral: the NS records of the zone cut, DS records or the proof of their absence, and glue.
    fn write_referral<S: LookupName>(
        &mut self,
        name: &S,
        at: u64,
        label: usize,
        place: usize,
    ) -> Next {
        let node = self.zone.node(at);
        let Some(set) = node.find(Rtype::NS) else {
            return Next::Done(Outcome::ServFail("a cut without NS records"));
        };
        self.out.refer(!self.out.has_answer());
        let owner = self.out.owner_of(name, label, place);
        let written = self.out.set(Section::Authority, set, owner);
        if self.dnssec {
            match node.find_signed(Rtype::DS) {
                (Some(ds), Some(signatures)) => {
                    self.out.set(Section::Authority, ds, owner);
                    self.out.set(Section::Authority, signatures, owner);
                }
                // A DS set without a signature proves nothing, so the zone is unsigned at this cut.
                (Some(_), None) => {}
                (None, _) => self.out.prove_insecure(name, at, label),
            }
        }
        if let Some(place) = written {
            self.out.additional(set, place, self.dnssec);
        }
        Next::Done(Outcome::Referral)
    }

    /// RFC 6672: writes the DNAME and the CNAME synthesized from it.
    fn write_redirected<S: LookupName>(
        &mut self,
        name: &S,
        at: u64,
        label: usize,
        place: usize,
    ) -> Next {
        let (Some(set), signatures) = self.zone.node(at).find_signed(Rtype::DNAME) else {
            return Next::Done(Outcome::ServFail("a redirection without a DNAME record"));
        };
        let Some(record) = set.records().next() else {
            return Next::Done(Outcome::ServFail("an empty DNAME set"));
        };
        if self.lengthened == MAX_LENGTHENED {
            return Next::Done(self.end_of_aliases());
        }
        self.lengthened +=
            usize::from(record.rdata.len() + name.label_at(label) > name.name().len());
        // A chain may reach the same DNAME again; its record is written once.
        let written = match self.dnames.iter().find(|(node, _)| *node == at) {
            Some(&(_, written)) => written,
            None => {
                let owner = self.out.owner_of(name, label, place);
                let Some(written) = self.out.set(Section::Answer, set, owner) else {
                    return Next::Done(Outcome::Answered);
                };
                if self.dnssec
                    && let Some(signatures) = signatures
                {
                    self.out.set(Section::Answer, signatures, owner);
                }
                self.dnames.rotate_right(1);
                self.dnames[0] = (at, written);
                written
            }
        };
        let prefix = &name.name()[..name.label_at(label)];
        let mut target = NameBuf::new();
        if target.push_name(prefix).and_then(|()| target.push_name(record.rdata)).is_err() {
            self.out.rcode(Rcode::YXDOMAIN);
            return Next::Done(Outcome::Answered);
        }
        let head = (Rtype::CNAME, Class::IN, record.ttl);
        let place = self.out.synthesized(head, name.name().len(), place, prefix, &target, written);
        match place {
            Some(place) if self.qtype != Rtype::CNAME => Next::Follow(target, place),
            _ => {
                self.out.apex_ns(self.dnssec);
                Next::Done(Outcome::Answered)
            }
        }
    }

    fn write_missing<S: LookupName>(&mut self, name: &S, encloser: usize) -> Next {
        self.out.rcode(Rcode::NXDOMAIN);
        self.out.soa(self.dnssec);
        if self.dnssec {
            self.out.prove_missing(name, encloser);
        }
        Next::Done(Outcome::NxDomain)
    }
}

/// Whether a name may have this type beside a CNAME. A query for such a type is answered at the name itself
/// and not at the target (RFC 4035 section 2.5).
#[inline]
fn may_stand_beside_cname(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::RRSIG | Rtype::NSEC)
}

/// Whether records of this type name hosts whose addresses belong into the additional section.
#[inline]
fn names_hosts(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::NS | Rtype::MX | Rtype::SRV | Rtype::SVCB | Rtype::HTTPS)
}
