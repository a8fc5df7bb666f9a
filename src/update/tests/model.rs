//! Updates against a model that is slow and plain: a list of records, and the pseudocode of RFC 2136
//! sections 3.2.5, 3.4.1.3 and 3.4.2.7, on sequences of random messages.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test program")]

use std::sync::Arc;

use proptest::prelude::*;
use update::Update;
use wire::{Class, Name, Rcode, Request, Rtype};
use zone::{Builder, RecordRef, Zone};

/// A record as a client writes it, and as the model keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    owner: String,
    rtype: u16,
    class: u16,
    ttl: u32,
    rdata: Vec<u8>,
}

const APEX: &str = "zone.test.";
const OWNERS: &[&str] = &[
    "zone.test.",
    "a.zone.test.",
    "A.zone.test.",
    "b.zone.test.",
    "c.b.zone.test.",
    "*.zone.test.",
];
const TYPES: &[u16] = &[1, 1, 16, 5, 2, 6, 39, 11, 255];
const IN: u16 = 1;
const NONE: u16 = 254;
const ANY: u16 = 255;

fn wire(text: &str) -> Vec<u8> {
    Name::from_text(text).unwrap().as_wire().to_vec()
}

fn soa(serial: u32) -> Vec<u8> {
    let mut rdata = [wire("ns.zone.test."), wire("host.zone.test.")].concat();
    for number in [serial, 2, 3, 4, 5] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    rdata
}

fn serial(record: &Record) -> u32 {
    let at = record.rdata.len() - 20;
    u32::from_be_bytes(record.rdata[at..at + 4].try_into().unwrap())
}

/// One of a few values, so that records meet again.
fn rdata(rtype: u16, which: u8) -> Vec<u8> {
    let host =
        ["x.zone.test.", "X.zone.test.", "y.zone.test.", "z.example."][usize::from(which) % 4];
    match rtype {
        1 => vec![192, 0, 2, which % 3],
        16 => vec![1, b'a' + which % 3],
        2 | 5 | 39 => wire(host),
        6 => soa([0, 1, 2, 7, 0x8000_0001, u32::MAX][usize::from(which) % 6]),
        // Two protocols, and two sets of ports each.
        11 => vec![192, 0, 2, 1, [6, 17][usize::from(which) % 2], 0x80 >> (which % 3)],
        46 => [&[0, 1, 5, 2, 0, 0, 0, 60, 0, 0, 0, 2, 0, 0, 0, 1, 0, 7][..], &[0, 9, 9]].concat(),
        _ => vec![which],
    }
}

fn record() -> impl Strategy<Value = Record> {
    let class = prop_oneof![5 => Just(IN), 3 => Just(NONE), 3 => Just(ANY), 1 => Just(3u16)];
    let owner = prop_oneof![30 => prop::sample::select(OWNERS), 1 => Just("zone.example.")];
    let rtype = prop_oneof![30 => prop::sample::select(TYPES), 1 => Just(252u16), 1 => Just(46u16)];
    (owner, rtype, class, 0u8..24, 0u8..20).prop_map(|(owner, rtype, class, which, odd)| {
        let is_add = class == IN;
        let ttl = match (is_add, odd) {
            (true, _) => [0, 60, 120][usize::from(odd % 3)],
            (false, 0) => 1,
            (false, _) => 0,
        };
        let rdata = match (class, odd) {
            (ANY, 1) => vec![1],
            (ANY, _) => Vec::new(),
            (_, 2) => vec![0xFF],
            _ => rdata(rtype, which),
        };
        Record { owner: owner.to_owned(), rtype, class, ttl, rdata }
    })
}

fn prerequisite() -> impl Strategy<Value = Record> {
    (record(), 0u8..10).prop_map(|(mut record, odd)| {
        if record.class == NONE {
            record.rdata.clear();
        }
        if odd > 0 {
            record.ttl = 0;
        }
        record
    })
}

fn message(prerequisites: &[Record], updates: &[Record]) -> Request {
    let mut out = Vec::new();
    for word in [7, 5 << 11, 1, prerequisites.len() as u16, updates.len() as u16, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend(wire(APEX));
    out.extend([0, 6, 0, 1]);
    for record in prerequisites.iter().chain(updates) {
        out.extend(wire(&record.owner));
        out.extend(record.rtype.to_be_bytes());
        out.extend(record.class.to_be_bytes());
        out.extend(record.ttl.to_be_bytes());
        out.extend((record.rdata.len() as u16).to_be_bytes());
        out.extend(&record.rdata);
    }
    let mut request = Request::new();
    request.buffer_mut().extend_from_slice(&out);
    request.parse_update().unwrap();
    request
}

/// The model: the records of the zone, owners and names in RDATA in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model(Vec<Record>);

fn lower(mut record: Record) -> Record {
    record.owner = record.owner.to_lowercase();
    if matches!(record.rtype, 2 | 5 | 39) {
        record.rdata.make_ascii_lowercase();
    }
    record.class = IN;
    record
}

fn is_inside(owner: &str) -> bool {
    owner == APEX || owner.ends_with(&format!(".{APEX}"))
}

/// Whether the RDATA has the form of its type.
fn is_formed(record: &Record) -> bool {
    match record.rtype {
        1 => record.rdata.len() == 4,
        11 => record.rdata.len() >= 5,
        2 | 5 | 6 | 16 | 39 | 46 => record.rdata != [0xFF],
        _ => true,
    }
}

/// Whether the names in the RDATA can be read; otherwise the whole message is malformed.
fn is_readable(record: &Record) -> bool {
    !matches!(record.rtype, 2 | 5 | 6 | 39 | 46) || record.rdata.len() != 1
}

const META: [u16; 2] = [252, 255];

impl Model {
    fn at<'a>(&'a self, owner: &'a str, rtype: u16) -> impl Iterator<Item = &'a Record> {
        self.0
            .iter()
            .filter(move |known| known.owner == owner && (rtype == 255 || known.rtype == rtype))
    }

    fn check(&self, prerequisites: &[Record]) -> Result<(), Rcode> {
        let mut temp: Vec<Record> = Vec::new();
        for given in prerequisites {
            let owner = given.owner.to_lowercase();
            if given.ttl != 0 {
                return Err(Rcode::FORMERR);
            }
            if !is_inside(&owner) {
                return Err(Rcode::NOTZONE);
            }
            if given.rtype == 252 || given.class == IN && given.rtype == 255 {
                return Err(Rcode::FORMERR);
            }
            let exists = self.at(&owner, given.rtype).next().is_some();
            match given.class {
                ANY | NONE if !given.rdata.is_empty() => return Err(Rcode::FORMERR),
                ANY if given.rtype == 255 && !exists => return Err(Rcode::NXDOMAIN),
                ANY if !exists => return Err(Rcode::NXRRSET),
                NONE if given.rtype == 255 && exists => return Err(Rcode::YXDOMAIN),
                NONE if exists => return Err(Rcode::YXRRSET),
                ANY | NONE => {}
                IN if !is_formed(given) => return Err(Rcode::FORMERR),
                IN => temp.push(lower(given.clone())),
                _ => return Err(Rcode::FORMERR),
            }
        }
        for given in &temp {
            let mut wanted: Vec<_> = temp
                .iter()
                .filter(|other| (&other.owner, other.rtype) == (&given.owner, given.rtype))
                .map(|other| other.rdata.clone())
                .collect();
            let mut found: Vec<_> =
                self.at(&given.owner, given.rtype).map(|known| known.rdata.clone()).collect();
            wanted.sort();
            wanted.dedup();
            found.sort();
            if wanted != found {
                return Err(Rcode::NXRRSET);
            }
        }
        Ok(())
    }

    fn scan(updates: &[Record]) -> Result<(), Rcode> {
        for given in updates {
            if !is_inside(&given.owner.to_lowercase()) {
                return Err(Rcode::NOTZONE);
            }
            let is_wrong = match given.class {
                IN => META.contains(&given.rtype) || !is_formed(given),
                ANY => given.ttl != 0 || !given.rdata.is_empty() || given.rtype == 252,
                NONE => given.ttl != 0 || META.contains(&given.rtype),
                _ => true,
            };
            if is_wrong {
                return Err(Rcode::FORMERR);
            }
            if given.rtype == 46 {
                return Err(Rcode::NOTIMP);
            }
        }
        Ok(())
    }

    fn update(&mut self, updates: &[Record]) {
        let before = self.clone();
        for given in updates {
            let new = lower(given.clone());
            let (owner, rtype, is_apex) = (&new.owner, new.rtype, new.owner == APEX);
            match given.class {
                IN => {
                    let has_alias = self.at(owner, 5).next().is_some();
                    let has_other = self.at(owner, 255).any(|known| known.rtype != 5);
                    if rtype == 5 && has_other || rtype != 5 && has_alias {
                        continue;
                    }
                    if rtype == 6 {
                        let Some(known) = self.at(owner, 6).next() else { continue };
                        let distance = serial(&new).wrapping_sub(serial(known));
                        if serial(&new) == 0 || distance == 0 || distance >= 1 << 31 {
                            continue;
                        }
                    }
                    self.0.retain(|known| {
                        let same = match rtype {
                            5 | 6 | 39 => true,
                            11 => known.rdata.get(..5) == new.rdata.get(..5),
                            _ => known.rdata == new.rdata,
                        };
                        !((&known.owner, known.rtype) == (owner, rtype) && same)
                    });
                    for known in &mut self.0 {
                        if (&known.owner, known.rtype) == (owner, rtype) {
                            known.ttl = new.ttl;
                        }
                    }
                    self.0.push(new);
                }
                ANY => self.0.retain(|known| {
                    let is_kept = is_apex && matches!(known.rtype, 2 | 6);
                    known.owner != *owner || is_kept || rtype != 255 && known.rtype != rtype
                }),
                _ => {
                    let is_last = is_apex && rtype == 2 && self.at(owner, 2).count() == 1;
                    if rtype != 6 && !is_last {
                        self.0.retain(|known| {
                            (&known.owner, known.rtype, &known.rdata) != (owner, rtype, &new.rdata)
                        });
                    }
                }
            }
        }
        self.0.sort();
        let is_same_serial =
            serial(self.at(APEX, 6).next().unwrap()) == serial(before.at(APEX, 6).next().unwrap());
        if *self != before && is_same_serial {
            let soa = self.0.iter_mut().find(|known| known.rtype == 6).unwrap();
            let next = serial(soa).wrapping_add(1).max(1);
            let at = soa.rdata.len() - 20;
            soa.rdata[at..at + 4].copy_from_slice(&next.to_be_bytes());
        }
    }

    fn load(&self) -> Zone {
        let mut builder = Builder::new(&Name::from_text(APEX).unwrap(), 0);
        for record in &self.0 {
            let owner = wire(&record.owner);
            let record = RecordRef {
                owner: &owner,
                rtype: Rtype(record.rtype),
                class: Class::IN,
                ttl: record.ttl,
                rdata: &record.rdata,
            };
            builder.add(record).unwrap();
        }
        builder.finish().unwrap_or_else(|unfit| panic!("{unfit:?}"))
    }

    fn of(zone: &Zone) -> Self {
        let (mut all, mut records) = (Vec::new(), zone.records());
        while let Some(record) = records.next_record() {
            all.push(lower(Record {
                owner: wire::name::Text(record.owner).to_string(),
                rtype: record.rtype.0,
                class: IN,
                ttl: record.ttl,
                rdata: record.rdata.to_vec(),
            }));
        }
        all.sort();
        Self(all)
    }
}

fn first() -> Model {
    let record = |owner: &str, rtype, rdata| Record {
        owner: owner.to_owned(),
        rtype,
        class: IN,
        ttl: 60,
        rdata,
    };
    let mut model = Model(vec![
        record(APEX, 6, soa(1)),
        record(APEX, 2, wire("x.zone.test.")),
        record(APEX, 2, wire("z.example.")),
        record("a.zone.test.", 1, vec![192, 0, 2, 1]),
        record("c.b.zone.test.", 5, wire("a.zone.test.")),
    ]);
    model.0.sort();
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn sequences_of_updates_do_what_the_rfc_says(
        messages in prop::collection::vec(
            (prop::collection::vec(prerequisite(), 0..3), prop::collection::vec(record(), 0..5)),
            1..12,
        )
    ) {
        let mut model = first();
        let mut zone = Arc::new(model.load());
        for (prerequisites, updates) in messages {
            let expected = model.check(&prerequisites).and_then(|()| Model::scan(&updates));
            let read = Update::parse(&message(&prerequisites, &updates));
            if !prerequisites.iter().chain(&updates).all(is_readable) {
                prop_assert_eq!(read.map_err(|refusal| refusal.rcode), Err(Rcode::FORMERR));
                continue;
            }
            let read = read.unwrap();
            match (read.decide(&zone, |_| true), expected) {
                (Ok(changes), Ok(())) => {
                    let before = model.clone();
                    model.update(&updates);
                    prop_assert_eq!(changes.is_empty(), model == before);
                    let next = Arc::new(zone.apply(&changes).unwrap());
                    prop_assert_eq!(&Model::of(&next), &model);
                    // The changes are exact: nothing goes and comes again.
                    prop_assert!(zone.difference(&next) == changes || changes.is_empty()
                        || same(&zone.difference(&next), &changes));
                    prop_assert_eq!(&Model::of(&model.load()), &model);
                    if !changes.is_empty() {
                        prop_assert_eq!(changes.from_serial(), Some(zone.serial()));
                        prop_assert_eq!(changes.to_serial(), Some(next.serial()));
                    }
                    zone = next;
                }
                (Err(refusal), Err(rcode)) => prop_assert_eq!(refusal.rcode, rcode, "{}", refusal),
                (found, expected) => {
                    return Err(TestCaseError::fail(format!("{found:?}, and not {expected:?}")));
                }
            }
        }
    }
}

/// Whether both have the same records, in whatever order.
fn same(one: &zone::Changes, other: &zone::Changes) -> bool {
    let sorted = |list: &zone::RecordList| {
        let mut all: Vec<String> = list.iter().map(|record| format!("{record:?}")).collect();
        all.sort();
        all
    };
    sorted(one.removed()) == sorted(other.removed()) && sorted(one.added()) == sorted(other.added())
}

#[test]
fn permissions_come_after_prerequisites_and_before_the_form() {
    let zone = first().load();
    let missing =
        Record { owner: "none.zone.test.".into(), rtype: 255, class: ANY, ttl: 0, rdata: vec![] };
    let malformed = Record { owner: APEX.into(), rtype: 1, class: IN, ttl: 0, rdata: vec![1] };
    let outcome = |prerequisites: &[Record], updates: &[Record]| {
        let update = Update::parse(&message(prerequisites, updates)).unwrap();
        update.decide(&zone, |_| false).map_err(|refusal| refusal.rcode)
    };
    assert_eq!(
        outcome(std::slice::from_ref(&missing), std::slice::from_ref(&malformed)),
        Err(Rcode::NXDOMAIN)
    );
    assert_eq!(outcome(&[], &[malformed]), Err(Rcode::REFUSED));
    assert!(outcome(&[], &[]).unwrap().is_empty(), "an update of nothing needs no permission");
}

#[test]
fn the_zone_section_names_a_zone() {
    let request = message(&[], &[]);
    let bytes = request.bytes().to_vec();
    let outcome = |at: usize, value: u8| {
        let mut changed = bytes.clone();
        let end = changed.len();
        changed[end - at] = value;
        let mut request = Request::new();
        request.buffer_mut().extend_from_slice(&changed);
        request.parse_update().unwrap();
        Update::parse(&request).map(drop).map_err(|refusal| refusal.rcode)
    };
    assert_eq!(outcome(3, 1), Err(Rcode::FORMERR), "a type other than SOA");
    assert_eq!(outcome(1, 3), Err(Rcode::NOTAUTH), "a class other than IN");
}

/// Nanoseconds that this thread has computed: not those that it waited, however busy the machine is.
fn computed() -> u64 {
    let read = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    read.split(' ').next().unwrap().parse().unwrap()
}

/// The time of an update at a name with many records grows with their number, not with its square.
#[test]
fn a_name_may_have_many_records() {
    let time = |count: u32| {
        let record = |number: u32| Record {
            owner: "a.zone.test.".into(),
            rtype: 1,
            class: IN,
            ttl: 60,
            rdata: number.to_be_bytes().to_vec(),
        };
        let mut model = first();
        model.0.retain(|known| known.owner != "a.zone.test.");
        model.0.extend((0..count).map(record));
        let zone = model.load();
        let update = Update::parse(&message(&[], &[record(count)])).unwrap();
        let before = computed();
        let changes = update.decide(&zone, |_| true).unwrap();
        assert_eq!((changes.removed().len(), changes.added().len()), (1, 2), "the SOA record too");
        computed() - before
    };
    // The square would be 64 times as much.
    let (few, many) = (time(1_000), time(8_000));
    assert!(many < few * 24, "{few} and {many} ns");
}
