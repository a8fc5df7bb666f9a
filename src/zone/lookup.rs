//! Answers from a zone: RFC 1034 section 4.3.2 as a list of steps.
//!
//! [`Zone::answer`] looks the name up ([`Zone::find`]), and then one step for each thing that can
//! be found writes what belongs into the reply. An alias leads back to the start with its target.
//!
//! Choices where servers differ: ANY is answered with all sets of the name, as named does; knotd and
//! nsd pick one set (RFC 8482 section 4.1). The plugin `any` is for those who want less. Other meta
//! types are types that no name has.

use wire::name::NameBuf;
use wire::{Class, Rcode, Reply, Request, Rtype, Section};

use crate::sought::{Sought, Target};
use crate::store::node::{CUT, DNAME, FIXED, HIDDEN, OCCLUDED, Set, WILD_CHILD};
use crate::store::{self, Zone};
use crate::write::{Owner, Writer};

/// The most aliases that one answer follows inside the zone.
const MAX_ALIASES: usize = 20;
/// The most of them that may make the name longer, as a DNAME that leads below itself does again
/// and again.
const MAX_GROWING: usize = 5;

/// What became of a query; the reply holds the records and the rcode.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would allocate for each answer")]
pub enum Outcome {
    /// Records of the type asked for.
    Answered,
    /// A referral to the servers of a zone below.
    Referral,
    /// The name exists, the type does not.
    NoData,
    /// The name has no records, only longer names do.
    EmptyNonTerminal,
    /// The name does not exist.
    NxDomain,
    /// The answer holds an alias that leads out of the zone. The caller may resolve `target`,
    /// give the reply to [`Zone::complete_alias`], or else call [`Zone::push_authority`]; neither
    /// was done yet.
    External {
        /// Where the alias leads, lower-cased.
        target: NameBuf,
    },
    /// No answer can be given, and why. Nothing of use is in the reply.
    ServFail(&'static str),
}

/// What the zone has for a name.
enum Found {
    /// The name itself.
    Exact { node: u64 },
    /// The name does not exist; a wildcard below its closest encloser (label `encloser`) does.
    Wildcard { node: u64, encloser: usize },
    /// The name from label `label` on is delegated.
    Cut { node: u64, label: usize },
    /// The name from label `label` on has a DNAME, and this one is below it.
    Redirected { node: u64, label: usize },
    /// Nothing; label `encloser` starts the closest name that exists.
    Missing { encloser: usize },
}

/// What a step leaves to do.
enum Next {
    Done(Outcome),
    /// Look up this name, which lies at that offset of the message.
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
        let mut job = Job::new(self, query, reply);
        let found = job.find(query, self.place_of(query.hash(0), query.relative(self, 0)));
        match job.write(query, found, 12) {
            Next::Done(outcome) => outcome,
            Next::Follow(target, at) => job.follow(query.hash(0), target, at),
        }
    }

    /// Completes a reply that ends with an alias which leads out of the zone: `found` is what a
    /// question for its target was answered.
    ///
    /// The rcode is that of the last name (RFC 6604 section 3). As in CoreDNS the authority section
    /// stays that of this zone.
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

    /// Adds the apex NS records to the authority section, as every positive answer has them.
    pub fn push_authority(&self, query: &Request, reply: &mut Reply) {
        let mut job = Job::new(self, query, reply);
        job.remember_expansion(query);
        job.out.apex_ns(job.dnssec);
    }

    /// Adds the SOA record to the authority section, as every negative answer has it.
    pub fn push_negative(&self, query: &Request, reply: &mut Reply) {
        let mut job = Job::new(self, query, reply);
        job.remember_expansion(query);
        job.out.soa(job.dnssec);
    }
}

/// One query on its way through the zone.
struct Job<'z, 'r> {
    zone: &'z Zone,
    qtype: Rtype,
    dnssec: bool,
    /// The DNAME nodes whose records were written last, and where those lie in the message.
    dnames: [(u64, usize); 4],
    growing: usize,
    out: Writer<'z, 'r>,
}

impl<'z, 'r> Job<'z, 'r> {
    #[inline]
    fn new(zone: &'z Zone, query: &Request, reply: &'r mut Reply) -> Self {
        Self {
            zone,
            qtype: query.qtype(),
            dnssec: query.wants_dnssec(),
            dnames: [(0, 0); 4],
            growing: 0,
            out: Writer::new(zone, query, reply),
        }
    }

    // --- finding

    /// Notes the proof that goes with an answer from a wildcard, if the query's is one.
    fn remember_expansion(&mut self, query: &Request) {
        if !self.dnssec || !self.zone.is_signed() || query.labels() < self.zone.apex_labels() {
            return;
        }
        let exact = self.zone.place_of(query.hash(0), query.relative(self.zone, 0));
        if let Found::Wildcard { encloser, .. } = self.find(query, exact) {
            self.out.remember_expansion(query, encloser, true);
        }
    }

    /// Finds a name; `exact` is its node if it has one.
    #[inline]
    fn find<S: Sought>(&self, name: &S, exact: Option<u64>) -> Found {
        if let Some(at) = exact {
            let flags = self.zone.node(at).flags();
            if flags & (CUT | OCCLUDED | HIDDEN) == 0 {
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

    /// The parent side of a cut has the DS records; all else is for the child.
    fn cut(&self, node: u64, label: usize) -> Found {
        if label == 0 && self.qtype == Rtype::DS {
            return Found::Exact { node };
        }
        Found::Cut { node, label }
    }

    /// Looks for the closest encloser of a name that does not exist.
    fn find_above<S: Sought>(&self, name: &S) -> Found {
        let depth = name.depth(self.zone);
        for label in 1..=depth {
            let relative = name.relative(self.zone, label);
            let hash = name.hash(label);
            let Some(at) = self.zone.place_of(hash, relative) else {
                continue;
            };
            let flags = self.zone.node(at).flags();
            if flags & HIDDEN != 0 {
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

    /// Looks for what hides a name, from the apex down.
    fn find_from_top<S: Sought>(&self, name: &S) -> Found {
        for label in (0..=name.depth(self.zone)).rev() {
            let relative = name.relative(self.zone, label);
            let Some(at) = self.zone.place_of(name.hash(label), relative) else {
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

    /// Looks up the targets of aliases until something else is found.
    #[cold]
    fn follow(&mut self, first: u64, mut next: NameBuf, mut at: usize) -> Outcome {
        let mut seen = [0; MAX_ALIASES + 1];
        seen[0] = first;
        let mut target = Target::new();
        for round in 1..=MAX_ALIASES {
            if !target.set(self.zone, next.as_wire()) {
                next.set_folded(target.name());
                return Outcome::External { target: next };
            }
            // A loop ends where it closes: every record in it is in the answer once.
            let hash = target.hash(0);
            if seen[..round].contains(&hash) {
                return self.end_of_chain();
            }
            seen[round] = hash;
            let exact = self.zone.place_of(hash, target.relative(self.zone, 0));
            let found = self.find(&target, exact);
            match self.write(&target, found, at) {
                Next::Done(outcome) => return outcome,
                Next::Follow(name, place) => (next, at) = (name, place),
            }
        }
        self.end_of_chain()
    }

    /// A chain that loops or never ends is answered as far as it goes.
    fn end_of_chain(&mut self) -> Outcome {
        self.out.apex_ns(self.dnssec);
        Outcome::Answered
    }

    // --- writing

    /// One step for each thing that can be found. `at` is where the name lies in the message.
    #[inline]
    fn write<S: Sought>(&mut self, name: &S, found: Found, at: usize) -> Next {
        match found {
            Found::Exact { node } => self.write_exact(name, node, at),
            Found::Wildcard { node, encloser } => self.write_wildcard(name, node, encloser, at),
            Found::Cut { node, label } => self.write_referral(name, node, label, at),
            Found::Redirected { node, label } => self.write_redirected(name, node, label, at),
            Found::Missing { encloser } => self.write_missing(name, encloser),
        }
    }

    #[inline]
    fn write_exact<S: Sought>(&mut self, name: &S, at: u64, place: usize) -> Next {
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
            // What may stand beside a CNAME is answered when asked for, the rest is at its target.
            return match node.find(qtype) {
                Some(_) => self.write_positive(at, name.name().len(), place),
                None if qtype == Rtype::ANY => self.write_any(at, name.name().len(), place),
                None if stands_beside_alias(qtype) => self.write_no_data(name, at),
                None => self.write_alias(at, name.name().len(), place),
            };
        }
        self.write_positive(at, name.name().len(), place)
    }

    /// The records asked for, with the apex NS and addresses of what they name.
    #[inline]
    fn write_positive(&mut self, at: u64, owner_len: usize, place: usize) -> Next {
        // A chain of redirections may end at a DNAME that is in the answer already.
        let there = self.qtype == Rtype::DNAME && self.dnames.iter().any(|&(node, _)| node == at);
        let named = if there { None } else { self.write_answer(at, owner_len, place) };
        // Asked for the apex NS, the answer has them already.
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

    /// Writes the records asked for; says which of them name hosts, and where they lie.
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

    /// All sets of a node for ANY, those of signatures for RRSIG.
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

    /// A CNAME: itself, then its target.
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

    fn write_no_data<S: Sought>(&mut self, name: &S, at: u64) -> Next {
        self.out.soa(self.dnssec);
        let empty = self.zone.node(at).is_empty();
        if self.dnssec {
            self.out.prove_no_data(name, at);
        }
        Next::Done(if empty { Outcome::EmptyNonTerminal } else { Outcome::NoData })
    }

    /// RFC 4592: the wildcard's records under the name asked for.
    fn write_wildcard<S: Sought>(
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
                self.out.remember_expansion(name, encloser, self.dnssec);
                return self.write_any(at, owner_len, place);
            }
            if node.find(Rtype::CNAME).is_some() && !stands_beside_alias(self.qtype) {
                self.out.remember_expansion(name, encloser, self.dnssec);
                return self.write_alias(at, owner_len, place);
            }
            self.out.soa(self.dnssec);
            if self.dnssec {
                self.out.prove_wildcard_no_data(name, encloser, at);
            }
            return Next::Done(Outcome::NoData);
        }
        self.out.remember_expansion(name, encloser, self.dnssec);
        self.write_positive(at, owner_len, place)
    }

    /// A referral: the NS records of the cut, whether it is signed, and glue.
    fn write_referral<S: Sought>(&mut self, name: &S, at: u64, label: usize, place: usize) -> Next {
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

    /// RFC 6672: the DNAME, and a CNAME made from it.
    fn write_redirected<S: Sought>(
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
        if self.growing == MAX_GROWING {
            return Next::Done(self.end_of_chain());
        }
        self.growing += usize::from(record.rdata.len() + name.label_at(label) > name.name().len());
        // A chain may come to the same DNAME again; its record is written once.
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

    fn write_missing<S: Sought>(&mut self, name: &S, encloser: usize) -> Next {
        self.out.rcode(Rcode::NXDOMAIN);
        self.out.soa(self.dnssec);
        if self.dnssec {
            self.out.prove_missing(name, encloser);
        }
        Next::Done(Outcome::NxDomain)
    }
}

/// Whether a name may have this type beside a CNAME: a question for it is for the name itself, and
/// not for the alias's target (RFC 4035 section 2.5).
#[inline]
fn stands_beside_alias(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::RRSIG | Rtype::NSEC)
}

/// Whether records of this type name hosts whose addresses the asker will want next.
#[inline]
fn names_hosts(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::NS | Rtype::MX | Rtype::SRV | Rtype::SVCB | Rtype::HTTPS)
}
