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
use crate::store::node::{CUT, DNAME, FIXED, NSEC3_ONLY, Node, OCCLUDED, Set, WILD_CHILD};
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
enum Found<'z> {
    /// A node with this name.
    Exact { node: Node<'z> },
    /// No node, but a wildcard below the closest encloser, which starts at label `encloser`.
    Wildcard { node: Node<'z>, encloser: usize },
    /// A zone cut at the name from label `label` on.
    Cut { node: Node<'z>, label: usize },
    /// A DNAME above the name, at the suffix from label `label` on.
    Redirected { node: Node<'z>, label: usize },
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
        let found = lookup.find(query, self.find(query.hash(0), query.relative(self, 0)));
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
    /// The ids of the DNAME nodes written last, and the offsets of their records in the message.
    dnames: [(usize, usize); 4],
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
        let exact = self.zone.find(query.hash(0), query.relative(self.zone, 0));
        if let Found::Wildcard { encloser, .. } = self.find(query, exact) {
            self.out.note_expansion_proof(query, encloser, true);
        }
    }

    /// Finds a name; `exact` is its node, if it has one.
    #[inline]
    fn find<S: LookupName>(&self, name: &S, exact: Option<Node<'z>>) -> Found<'z> {
        if self.zone.cuts_moved() {
            return self.find_among_moved_cuts(name, exact);
        }
        if let Some(node) = exact {
            let flags = node.flags();
            if flags & (CUT | OCCLUDED | NSEC3_ONLY) == 0 {
                return Found::Exact { node };
            }
            if flags & OCCLUDED != 0 {
                return self.find_from_top(name);
            }
            if flags & CUT != 0 {
                return self.cut(node, 0);
            }
        }
        self.find_above(name)
    }

    /// A zone cut. The parent side answers for DS, and the child for all other types.
    fn cut(&self, node: Node<'z>, label: usize) -> Found<'z> {
        if label == 0 && self.qtype == Rtype::DS {
            return Found::Exact { node };
        }
        Found::Cut { node, label }
    }

    /// Finds the closest encloser of a name that does not exist.
    fn find_above<S: LookupName>(&self, name: &S) -> Found<'z> {
        let depth = name.depth(self.zone);
        // Where cuts moved, what is above the name has been looked at.
        let occluded = if self.zone.cuts_moved() { 0 } else { OCCLUDED };
        for label in 1..=depth {
            let relative = name.relative(self.zone, label);
            let hash = name.hash(label);
            let Some(node) = self.zone.find(hash, relative) else {
                continue;
            };
            let flags = node.flags();
            if flags & NSEC3_ONLY != 0 {
                continue;
            }
            if flags & occluded != 0 {
                return self.find_from_top(name);
            }
            if flags & CUT != 0 {
                return Found::Cut { node, label };
            }
            if flags & DNAME != 0 {
                return Found::Redirected { node, label };
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
    fn find_from_top<S: LookupName>(&self, name: &S) -> Found<'z> {
        self.topmost(name).unwrap_or_else(|| self.find_above(name))
    }

    fn topmost<S: LookupName>(&self, name: &S) -> Option<Found<'z>> {
        for label in (0..=name.depth(self.zone)).rev() {
            let relative = name.relative(self.zone, label);
            let Some(node) = self.zone.find(name.hash(label), relative) else {
                continue;
            };
            let flags = node.flags();
            if flags & CUT != 0 {
                return Some(self.cut(node, label));
            }
            if flags & DNAME != 0 && label > 0 {
                return Some(Found::Redirected { node, label });
            }
        }
        None
    }

    /// Finds a name in a version where a cut or a DNAME came or went since its base: the flag of a name does
    /// not tell whether it is below one.
    #[inline(never)]
    fn find_among_moved_cuts<S: LookupName>(&self, name: &S, exact: Option<Node<'z>>) -> Found<'z> {
        if let Some(found) = self.topmost(name) {
            return found;
        }
        match exact {
            Some(node) if !node.has(NSEC3_ONLY) => Found::Exact { node },
            _ => self.find_above(name),
        }
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
            let exact = self.zone.find(hash, target.relative(self.zone, 0));
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
    fn write<S: LookupName>(&mut self, name: &S, found: Found<'z>, at: usize) -> Next {
        match found {
            Found::Exact { node } => self.write_exact(name, node, at),
            Found::Wildcard { node, encloser } => self.write_wildcard(name, node, encloser, at),
            Found::Cut { node, label } => self.write_referral(name, node, label, at),
            Found::Redirected { node, label } => self.write_redirected(name, node, label, at),
            Found::Missing { encloser } => self.write_missing(name, encloser),
        }
    }

    #[inline]
    fn write_exact<S: LookupName>(&mut self, name: &S, node: Node<'z>, place: usize) -> Next {
        let qtype = self.qtype;
        let Some(set) = node.sets().find(|set| set.rtype == qtype || set.rtype == Rtype::CNAME)
        else {
            return match qtype {
                Rtype::ANY if !node.is_empty() => self.write_any(node, name.name().len(), place),
                _ => self.write_no_data(name, node),
            };
        };
        if set.rtype != qtype {
            // A type that may stand beside a CNAME is answered here, any other at the target.
            return match node.find(qtype) {
                Some(_) => self.write_positive(node, name.name().len(), place),
                None if qtype == Rtype::ANY => self.write_any(node, name.name().len(), place),
                None if is_answered_at_alias(qtype) => self.write_no_data(name, node),
                None => self.write_alias(node, name.name().len(), place),
            };
        }
        self.write_positive(node, name.name().len(), place)
    }

    /// Writes the records of the type, the NS records of the apex, and the addresses of hosts.
    #[inline]
    fn write_positive(&mut self, node: Node<'z>, owner_len: usize, place: usize) -> Next {
        // A chain of redirections may end at a DNAME that is in the answer already.
        let there = self.qtype == Rtype::DNAME && self.has_dname(node);
        let named = if there { None } else { self.write_answer(node, owner_len, place) };
        // The answer section has the NS records of the apex if the query is for them.
        if self.qtype == Rtype::NS && node.name().is_empty() {
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
        node: Node<'z>,
        owner_len: usize,
        place: usize,
    ) -> Option<(Set<'z>, usize)> {
        let owner = Owner::At(place, owner_len);
        if self.qtype == Rtype::RRSIG {
            self.write_sets(node, owner);
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
    fn write_any(&mut self, node: Node<'z>, owner_len: usize, place: usize) -> Next {
        self.write_sets(node, Owner::At(place, owner_len));
        if node.name().is_empty() {
            self.out.write_proofs();
        } else {
            self.out.apex_ns(self.dnssec);
        }
        Next::Done(Outcome::Answered)
    }

    /// Whether the DNAME of this node is in the answer.
    fn has_dname(&self, node: Node<'_>) -> bool {
        self.dnames.iter().any(|&(known, _)| known == node.id())
    }

    /// Writes all sets of a node for ANY, and its signatures for RRSIG.
    #[cold]
    fn write_sets(&mut self, node: Node<'z>, owner: Owner<'_>) {
        // A chain of redirections may end at a DNAME that is in the answer with its signature.
        let there = self.has_dname(node);
        let all = self.qtype == Rtype::ANY;
        for set in node.sets() {
            let again = there
                && (set.rtype == Rtype::DNAME || self.dnssec && set.covers() == Some(Rtype::DNAME));
            if (all || set.rtype == Rtype::RRSIG) && !again {
                self.out.set(Section::Answer, set, owner);
            }
        }
    }

    /// Writes a CNAME, whose target is looked up next.
    fn write_alias(&mut self, node: Node<'z>, owner_len: usize, place: usize) -> Next {
        let (Some(set), signatures) = node.find_signed(Rtype::CNAME) else {
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

    fn write_no_data<S: LookupName>(&mut self, name: &S, node: Node<'z>) -> Next {
        self.out.soa(self.dnssec);
        let empty = node.is_empty();
        if self.dnssec {
            self.out.prove_no_data(name, node);
        }
        Next::Done(if empty { Outcome::EmptyNonTerminal } else { Outcome::NoData })
    }

    /// RFC 4592: writes the wildcard's records with the name of the query.
    fn write_wildcard<S: LookupName>(
        &mut self,
        name: &S,
        node: Node<'z>,
        encloser: usize,
        place: usize,
    ) -> Next {
        let owner_len = name.name().len();
        if node.find(self.qtype).is_none() {
            if self.qtype == Rtype::ANY && !node.is_empty() {
                self.out.note_expansion_proof(name, encloser, self.dnssec);
                return self.write_any(node, owner_len, place);
            }
            if node.find(Rtype::CNAME).is_some() && !is_answered_at_alias(self.qtype) {
                self.out.note_expansion_proof(name, encloser, self.dnssec);
                return self.write_alias(node, owner_len, place);
            }
            self.out.soa(self.dnssec);
            if self.dnssec {
                self.out.prove_wildcard_no_data(name, encloser, node);
            }
            return Next::Done(Outcome::NoData);
        }
        self.out.note_expansion_proof(name, encloser, self.dnssec);
        self.write_positive(node, owner_len, place)
    }

    /// Writes a referral: the NS records of the zone cut, DS records or the proof of their absence, and glue.
    fn write_referral<S: LookupName>(
        &mut self,
        name: &S,
        node: Node<'z>,
        label: usize,
        place: usize,
    ) -> Next {
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
                (None, _) => self.out.prove_insecure(name, node, label),
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
        node: Node<'z>,
        label: usize,
        place: usize,
    ) -> Next {
        let (Some(set), signatures) = node.find_signed(Rtype::DNAME) else {
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
        let written = match self.dnames.iter().find(|(known, _)| *known == node.id()) {
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
                self.dnames[0] = (node.id(), written);
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

/// Whether a query for this type is answered at an alias itself and not at its target (RFC 4035 section 2.5).
#[inline]
fn is_answered_at_alias(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::RRSIG | Rtype::NSEC)
}

/// Whether records of this type name hosts whose addresses belong into the additional section.
#[inline]
fn names_hosts(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::NS | Rtype::MX | Rtype::SRV | Rtype::SVCB | Rtype::HTTPS)
}
