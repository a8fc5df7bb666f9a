//! Records of a zone for callers that do not build a reply: one RRset, the SOA, or all.

use wire::name::{self, NameBuf};
use wire::{Class, Name, Rtype};

use crate::RecordRef;
use crate::store::node::{Node, Set};
use crate::store::{Zone, expand, target};
use crate::walk::Walk;

impl Zone {
    /// The records of one type at exactly `owner`: no wildcards, no delegation, no aliases.
    pub fn rrset(&self, owner: &[u8], rtype: Rtype) -> Option<Rrset<'_>> {
        let mut buf = [0; name::MAX_NAME + 1];
        let relative = target(owner, 0, self.apex().as_wire(), &mut buf)?;
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
}

impl Zone {
    /// Calls `each` with every name that has records, the apex first.
    pub(crate) fn each_node<'z>(&'z self, mut each: impl FnMut(Node<'z>)) {
        let mut walk = Walk::new(self);
        each(walk.node(self));
        while walk.advance(self) {
            each(walk.node(self));
        }
    }

    /// Calls `each` with every record of a name.
    pub(crate) fn each_record(&self, node: Node<'_>, mut each: impl FnMut(RecordRef<'_>)) {
        let mut owner = NameBuf::new();
        let whole =
            owner.push_name(node.name()).and_then(|()| owner.push_name(self.apex().as_wire()));
        debug_assert!(whole.is_ok(), "names were checked when they were added");
        let mut rdata = Vec::new();
        for set in node.sets() {
            for record in set.records() {
                rdata.clear();
                expand(set, record, self.apex().as_wire(), &mut rdata);
                each(RecordRef {
                    owner: owner.as_wire(),
                    rtype: set.rtype,
                    class: Class::IN,
                    ttl: record.ttl,
                    rdata: &rdata,
                });
            }
        }
    }
}

/// The fields of an SOA record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// Primary server.
    pub mname: Name,
    /// Mailbox.
    pub rname: Name,
    /// Version of the zone.
    pub serial: u32,
    /// Seconds between checks of a secondary.
    pub refresh: u32,
    /// Seconds between failed checks.
    pub retry: u32,
    /// Seconds after which a secondary discards a copy that it could not refresh.
    pub expire: u32,
    /// TTL of negative answers in seconds (RFC 2308).
    pub minimum: u32,
    /// Time to live of the record itself.
    pub ttl: u32,
}

impl Soa {
    fn read(zone: &Zone) -> Self {
        let mut rdata = Vec::new();
        let mut ttl = 0;
        if let Some(set) = zone.apex_set(Rtype::SOA)
            && let Some(record) = set.records().next()
        {
            ttl = record.ttl;
            expand(set, record, zone.apex().as_wire(), &mut rdata);
        }
        let first = name::wire_len(&rdata).unwrap_or(0);
        let second = rdata.get(first..).and_then(name::wire_len).unwrap_or(0);
        let name = |from: usize, len: usize| {
            rdata.get(from..from + len).and_then(|wire| Name::from_wire(wire).ok())
        };
        let number = |index: usize| {
            let at = first + second + 4 * index;
            rdata
                .get(at..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |b| u32::from_be_bytes(*b))
        };
        Self {
            mname: name(0, first).unwrap_or_else(Name::root),
            rname: name(first, second).unwrap_or_else(Name::root),
            serial: number(0),
            refresh: number(1),
            retry: number(2),
            expire: number(3),
            minimum: number(4),
            ttl,
        }
    }
}

/// The records of one type at one name.
#[derive(Clone, Copy)]
pub struct Rrset<'a> {
    zone: &'a Zone,
    set: Set<'a>,
}

impl<'a> Rrset<'a> {
    fn new(zone: &'a Zone, set: Set<'a>) -> Self {
        Self { zone, set }
    }

    /// How many records.
    pub fn count(&self) -> u16 {
        self.set.count
    }

    /// Calls `each` with each record's TTL and uncompressed RDATA.
    pub fn for_each(&self, mut each: impl FnMut(u32, &[u8])) {
        let mut rdata = Vec::new();
        for record in self.set.records() {
            rdata.clear();
            expand(self.set, record, self.zone.apex().as_wire(), &mut rdata);
            each(record.ttl, &rdata);
        }
    }
}

/// Iterates over all records of a zone. Not an `Iterator`, because each record borrows from it.
pub struct Records<'a> {
    zone: &'a Zone,
    stage: Stage,
    walk: Walk,
    sets: Vec<Set<'a>>,
    set: usize,
    /// Offset of the next record in its set.
    at: usize,
    owner: NameBuf,
    rdata: Vec<u8>,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Soa,
    Rest,
}

impl<'a> Records<'a> {
    fn new(zone: &'a Zone) -> Self {
        let mut walk = Self {
            zone,
            stage: Stage::Soa,
            walk: Walk::new(zone),
            sets: Vec::new(),
            set: 0,
            at: 0,
            owner: NameBuf::new(),
            rdata: Vec::new(),
        };
        walk.enter(zone.top(), |rtype| rtype == Rtype::SOA);
        walk
    }

    fn enter(&mut self, node: Node<'a>, wanted: impl Fn(Rtype) -> bool) {
        self.sets.clear();
        self.sets.extend(node.sets().filter(|set| wanted(set.rtype)));
        self.set = 0;
        self.at = 0;
        self.owner.clear();
        let pushed = self.owner.push_name(node.name());
        debug_assert!(pushed.is_ok(), "names were checked when they were added");
        let pushed = self.owner.push_name(self.zone.apex().as_wire());
        debug_assert!(pushed.is_ok(), "names were checked when they were added");
    }

    /// Moves to the next node with records; `false` at the end.
    fn advance(&mut self) -> bool {
        if self.stage == Stage::Soa {
            self.stage = Stage::Rest;
            self.enter(self.zone.top(), |rtype| rtype != Rtype::SOA);
            return true;
        }
        if !self.walk.advance(self.zone) {
            return false;
        }
        self.enter(self.walk.node(self.zone), |_| true);
        true
    }

    /// The next record.
    pub fn next_record(&mut self) -> Option<RecordRef<'_>> {
        loop {
            if let Some(&set) = self.sets.get(self.set) {
                if let Some((record, end)) = set.record_at(self.at) {
                    self.at = end;
                    self.rdata.clear();
                    expand(set, record, self.zone.apex().as_wire(), &mut self.rdata);
                    return Some(RecordRef {
                        owner: self.owner.as_wire(),
                        rtype: set.rtype,
                        class: Class::IN,
                        ttl: record.ttl,
                        rdata: &self.rdata,
                    });
                }
                self.set += 1;
                self.at = 0;
            } else if !self.advance() {
                return None;
            }
        }
    }
}
