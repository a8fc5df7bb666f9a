//! The feed against a reference: any sequence of batches answers as zones do that are loaded from the
//! union of what the owners say, by the rules in plain words.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};

use feed::{Feed, Limits, Origin, Refused, Serial, Source};
use proptest::prelude::*;
use wire::name::NameBuf;
use wire::{Class, Name, NewRecord, Rdata, Reply, Request, Rtype};
use zone::{Builder, RecordRef, Zone};

const ZONES: [&str; 4] = ["a.test.", "sub.a.test.", "in-addr.arpa.", "ip6.arpa."];
const NAMES: [&str; 14] = [
    "a.test.",
    "www.a.test.",
    "WWW.a.test.",
    "*.a.test.",
    "x.y.a.test.",
    "y.a.test.",
    "sub.a.test.",
    "h.sub.a.test.",
    "else.test.",
    "1.2.0.192.in-addr.arpa.",
    "01.2.0.192.in-addr.arpa.",
    "2.0.192.in-addr.arpa.",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
    ".",
];

/// A record: the number of its name, TTL, type and RDATA.
#[derive(Clone, Debug)]
struct Rec {
    name: usize,
    ttl: u32,
    rtype: Rtype,
    rdata: Vec<u8>,
}

impl Rec {
    fn owner(&self) -> Name {
        name(NAMES[self.name])
    }
}

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn rec() -> impl Strategy<Value = Rec> {
    let rdata = prop_oneof![
        6 => (0u8..4).prop_map(|n| (Rtype::A, vec![192, 0, 2, n])),
        2 => (0u8..3).prop_map(|n| (Rtype::AAAA, [vec![n; 16]].concat())),
        3 => (0..NAMES.len()).prop_map(|n| (Rtype::PTR, name(NAMES[n]).as_wire().to_vec())),
        2 => (0..NAMES.len()).prop_map(|n| (Rtype::CNAME, name(NAMES[n]).as_wire().to_vec())),
        1 => (0..NAMES.len()).prop_map(|n| (Rtype::DNAME, name(NAMES[n]).as_wire().to_vec())),
        1 => (0..NAMES.len()).prop_map(|n| (Rtype::NS, name(NAMES[n]).as_wire().to_vec())),
        3 => (0..NAMES.len(), 0u8..2).prop_map(|(n, port)| {
            (Rtype::SRV, [&[0, 1, 0, 2, 0, port], name(NAMES[n]).as_wire()].concat())
        }),
        1 => (0..NAMES.len(), 0u8..2).prop_map(|(n, pref)| {
            (Rtype::MX, [&[0, pref], name(NAMES[n]).as_wire()].concat())
        }),
        1 => (0u8..3).prop_map(|n| {
            let numbers = [[0, 0, 0, 9], [0, 0, 0, n], [0; 4], [0; 4], [0, 0, 0, 5]].concat();
            (Rtype::SOA, [b"\x02ns\0\x01h\0", &numbers[..]].concat())
        }),
        2 => prop::collection::vec(0u8..3, 0..4).prop_map(|text| {
            (Rtype::TXT, [&[text.len() as u8], &text[..]].concat())
        }),
        1 => Just((Rtype::KEY, vec![1, 2, 3, 4])),
        // Records that are left out: malformed, or of types that no feed holds.
        1 => Just((Rtype::A, vec![1, 2, 3])),
        1 => Just((Rtype::TXT, vec![3, 1])),
        1 => Just((Rtype::PTR, vec![3, 1])),
        1 => Just((Rtype::NSEC, vec![0, 0, 1, 0x40])),
        1 => Just((Rtype::ANY, vec![])),
    ];
    (0..NAMES.len(), prop_oneof![8 => Just(30u32), 1 => 0u32..40], rdata)
        .prop_map(|(name, ttl, (rtype, rdata))| Rec { name, ttl, rtype, rdata })
}

#[derive(Clone, Debug)]
enum Op {
    Upsert(usize, u8, Vec<Rec>),
    /// As the owner said it last, if it said something.
    Again(usize, u8),
    Remove(usize, u8),
    List(usize),
    Retain(usize, u8),
}

/// Operations, and whether they are committed.
fn batch() -> impl Strategy<Value = (Vec<Op>, bool)> {
    let upsert = (0usize..2, 0u8..6, prop::collection::vec(rec(), 0..6));
    let op = prop_oneof![
        8 => upsert.prop_map(|(source, key, records)| Op::Upsert(source, key, records)),
        4 => (0usize..2, 0u8..6).prop_map(|(source, key)| Op::Again(source, key)),
        3 => (0usize..2, 0u8..6).prop_map(|(source, key)| Op::Remove(source, key)),
        1 => (0usize..2).prop_map(Op::List),
        1 => (0usize..2, 1u8..4).prop_map(|(source, of)| Op::Retain(source, of)),
    ];
    (prop::collection::vec(op, 1..8), prop::bool::weighted(0.9))
}

type Owners = BTreeMap<(usize, u8), Vec<Rec>>;

fn upsert(batch: &mut feed::Batch<'_>, source: Source, key: u8, records: &[Rec]) {
    let owners: Vec<Name> = records.iter().map(Rec::owner).collect();
    let records = records.iter().zip(&owners).map(|(rec, owner)| {
        NewRecord::new(owner.as_wire(), rec.ttl, Rdata::Other(rec.rtype, &rec.rdata))
    });
    batch.upsert(source.owner(&[key]), records).unwrap();
}

/// Runs a batch on the feed and on the model.
fn run(
    feed: &Feed,
    sources: &[Source; 2],
    owners: &mut Owners,
    ops: &[Op],
    commit: bool,
    now: u64,
) {
    let mut batch = feed.begin();
    let mut next = owners.clone();
    let mut listed: BTreeSet<usize> = BTreeSet::new();
    let mut seen: BTreeSet<(usize, u8)> = BTreeSet::new();
    let mut touched: BTreeSet<(usize, u8)> = BTreeSet::new();
    for op in ops {
        match op {
            Op::Upsert(source, key, records) => {
                upsert(&mut batch, sources[*source], *key, records);
                next.insert((*source, *key), records.clone());
                seen.insert((*source, *key));
                touched.insert((*source, *key));
            }
            Op::Again(source, key) => {
                let Some(records) = owners.get(&(*source, *key)).cloned() else { continue };
                upsert(&mut batch, sources[*source], *key, &records);
                next.insert((*source, *key), records);
                seen.insert((*source, *key));
            }
            Op::Remove(source, key) => {
                batch.remove(sources[*source].owner(&[*key])).unwrap();
                next.remove(&(*source, *key));
                touched.insert((*source, *key));
            }
            Op::List(source) => {
                batch.list(sources[*source]);
                listed.insert(*source);
                // What the batch said of the source before is void.
                seen.retain(|owner| owner.0 != *source);
                touched.retain(|owner| owner.0 != *source);
                next.retain(|owner, _| owner.0 != *source);
                let before = owners.iter().filter(|(owner, _)| owner.0 == *source);
                next.extend(before.map(|(owner, records)| (*owner, records.clone())));
            }
            Op::Retain(source, of) => {
                // A plan of the caller's: never for owners that it upserts itself.
                let own: Vec<u8> =
                    seen.iter().filter(|owner| owner.0 == *source).map(|owner| owner.1).collect();
                batch.retain(sources[*source], |key| key[0] % of == 0 || own.contains(&key[0]));
                next.retain(|owner, _| {
                    owner.0 != *source
                        || owner.1 % of == 0
                        || own.contains(&owner.1)
                        || touched.contains(owner)
                });
            }
        }
    }
    next.retain(|owner, _| !listed.contains(&owner.0) || seen.contains(owner));
    if commit {
        let report = batch.commit(now).unwrap();
        assert!(report.named.len() <= report.left_out);
        *owners = next;
    }
}

fn fold(rtype: Rtype, mut rdata: Vec<u8>) -> Vec<u8> {
    if let Some(layout) = wire::rdata::layout(rtype)
        && let Ok(mut at) = layout.first_name(&rdata, 0, rdata.len())
    {
        for _ in 0..layout.names {
            let Some(len) = wire::name::wire_len(&rdata[at..]) else { break };
            rdata[at..at + len].make_ascii_lowercase();
            at += len;
        }
    }
    rdata
}

/// What is answered of one zone: name and type to TTL and RDATA; and how many records are left out.
type Served = BTreeMap<(Name, Rtype), (u32, BTreeSet<Vec<u8>>)>;

/// What is said of each set: TTLs and RDATA.
type Said = BTreeMap<(Name, Rtype), Vec<(u32, Vec<u8>)>>;

fn served(owners: &Owners, zone: &str) -> (Served, usize) {
    let zone = name(zone);
    let zones: Vec<Name> = ZONES.iter().map(|zone| name(zone)).collect();
    let home = |owner: &Name| {
        let mut over: Vec<&Name> = zones.iter().filter(|zone| owner.is_under(zone)).collect();
        over.sort_by_key(|zone| zone.labels().count());
        over.pop().cloned()
    };
    let mut said = Said::new();
    for rec in owners.values().flatten() {
        let owner = rec.owner().to_lower();
        let malformed = match rec.rtype {
            Rtype::A => rec.rdata.len() != 4,
            Rtype::TXT => usize::from(rec.rdata[0]) + 1 != rec.rdata.len(),
            Rtype::PTR => rec.rdata == [3, 1],
            Rtype::NSEC | Rtype::ANY => true,
            Rtype::CNAME => owner == zone,
            Rtype::SOA => owner != zone,
            _ => false,
        };
        if malformed || home(&owner) != Some(zone.clone()) {
            continue;
        }
        let rdata = fold(rec.rtype, rec.rdata.clone());
        said.entry((owner, rec.rtype)).or_default().push((rec.ttl, rdata));
    }
    let mut served = Served::new();
    let mut left_out = 0;
    for ((owner, rtype), records) in &said {
        let mut all: BTreeSet<Vec<u8>> = records.iter().map(|(_, rdata)| rdata.clone()).collect();
        let others = said
            .keys()
            .any(|(name, other)| name == owner && !matches!(*other, Rtype::CNAME | Rtype::KEY));
        if *rtype == Rtype::CNAME && others {
            left_out += all.len();
            continue;
        }
        if matches!(*rtype, Rtype::CNAME | Rtype::DNAME | Rtype::SOA) {
            left_out += all.len() - 1;
            all = all.into_iter().take(1).collect();
        }
        let kept = records.iter().filter(|(_, rdata)| all.contains(rdata));
        let ttl = kept.map(|(ttl, _)| *ttl).min().unwrap();
        served.insert((owner.clone(), *rtype), (ttl, all));
    }
    (served, left_out)
}

/// The zone that is loaded from the union.
fn fresh(served: &Served, zone: &str, serial: u32) -> Zone {
    let apex = name(zone);
    let mut builder = Builder::new(&apex, 0);
    let mut add = |owner: &Name, rtype, ttl, rdata: &[u8]| {
        let owner = owner.as_wire();
        builder.add(RecordRef { owner, rtype, class: Class::IN, ttl, rdata }).unwrap();
    };
    let (ttl, mut soa) = match served.get(&(apex.clone(), Rtype::SOA)) {
        Some((ttl, all)) => (*ttl, all.first().unwrap().clone()),
        None => {
            let mut rdata = Vec::new();
            wire::rdata::StandInSoa::new(apex.as_wire()).rdata(7).write(&mut rdata);
            (7, rdata)
        }
    };
    let at = soa.len() - 20;
    soa[at..at + 4].copy_from_slice(&serial.to_be_bytes());
    add(&apex, Rtype::SOA, ttl, &soa);
    for ((owner, rtype), (ttl, all)) in served {
        if *rtype != Rtype::SOA {
            all.iter().for_each(|rdata| add(owner, *rtype, *ttl, rdata));
        }
    }
    builder.finish().unwrap_or_else(|unfit| panic!("{unfit:?}"))
}

fn all_records(zone: &Zone) -> Vec<(Name, Rtype, u32, Vec<u8>)> {
    let mut all = Vec::new();
    let mut records = zone.records();
    while let Some(record) = records.next_record() {
        let owner = Name::from_wire(record.owner).unwrap();
        all.push((owner, record.rtype, record.ttl, fold(record.rtype, record.rdata.to_vec())));
    }
    all.sort();
    all
}

fn answer(zone: &Zone, qname: &Name, qtype: Rtype) -> (String, Vec<Vec<u8>>) {
    let mut bytes = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(qname.as_wire());
    bytes.extend_from_slice(&qtype.0.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    let mut query = Request::new();
    query.receive(&bytes).unwrap();
    let mut reply = Reply::new();
    reply.begin(&query);
    let outcome = zone.answer(&query, &mut reply);
    let mut records = Vec::new();
    let mut owner = NameBuf::new();
    for record in reply.records() {
        let record = record.unwrap();
        record.owner(&mut owner).unwrap();
        let mut rdata = Vec::new();
        wire::rdata::expand(record.rtype, reply.bytes(), record.rdata_at, record.end, &mut rdata)
            .unwrap();
        let mut shown = format!("{:?} {owner:?} {} {}", record.section, record.rtype, record.ttl)
            .to_lowercase()
            .into_bytes();
        shown.extend(fold(record.rtype, rdata));
        records.push(shown);
    }
    records.sort();
    (format!("{outcome:?} {}", reply.rcode()).to_lowercase(), records)
}

fn check(feed: &Feed, owners: &Owners) {
    let usage = feed.usage();
    let (mut names, mut records, mut left_out) = (BTreeSet::new(), 0, 0);
    for zone in ZONES {
        let live = feed.zones().get(&name(zone)).unwrap();
        let current = live.zone_to_keep().unwrap();
        let (served, left) = served(owners, zone);
        let fresh = fresh(&served, zone, current.serial());
        assert_eq!(all_records(&current), all_records(&fresh), "{zone}");
        for asked in NAMES.iter().map(|text| name(text)) {
            if asked.is_under(&name(zone)) {
                for qtype in [Rtype::A, Rtype::SRV, Rtype::CNAME, Rtype::ANY, Rtype::SOA] {
                    let (found, wanted) =
                        (answer(&current, &asked, qtype), answer(&fresh, &asked, qtype));
                    assert_eq!(found, wanted, "{asked} {qtype}");
                }
            }
        }
        left_out += left;
        for ((owner, rtype), (_, all)) in served {
            if rtype != Rtype::SOA {
                names.insert(owner);
                records += all.len();
            }
        }
    }
    assert_eq!((usage.names, usage.records), (names.len(), records));
    assert_eq!(usage.left_out, left_out);
}

fn feed() -> (Feed, [Source; 2]) {
    let origin = |zone| Origin::new(&name(zone), 7).serial(Serial::From(1));
    let feed = Feed::new(ZONES.into_iter().map(origin).collect(), Limits::default());
    let sources = [feed.source(), feed.source()];
    (feed, sources)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn batches_answer_as_a_fresh_load_of_the_union(
        batches in prop::collection::vec(batch(), 1..12),
    ) {
        let (feed, sources) = feed();
        let mut owners = Owners::new();
        feed.begin().commit(1).unwrap();
        for (now, (ops, commit)) in batches.iter().enumerate() {
            run(&feed, &sources, &mut owners, ops, *commit, now as u64);
            check(&feed, &owners);
        }
        // A batch in which everyone goes leaves nothing.
        let mut batch = feed.begin();
        sources.iter().for_each(|source| batch.list(*source));
        batch.commit(99).unwrap();
        check(&feed, &Owners::new());
    }

    #[test]
    fn the_first_batch_is_like_any_other(ops in prop::collection::vec(batch(), 1..4)) {
        let (feed, sources) = feed();
        let mut owners = Owners::new();
        let ops: Vec<Op> = ops.into_iter().flat_map(|(ops, _)| ops).collect();
        run(&feed, &sources, &mut owners, &ops, true, 1);
        check(&feed, &owners);
        // What is built anew is the same, whatever came before.
        feed.withdraw();
        assert!(!feed.zones().get(&name("a.test.")).unwrap().is_loaded());
        let report = feed.begin().commit(2).unwrap();
        assert!(report.rebuilt);
        check(&feed, &owners);
    }
}

#[test]
fn limits_refuse_a_batch_as_a_whole() {
    let owner = name("www.a.test.");
    let addresses: Vec<_> = (0u8..5).map(|last| [192, 0, 2, last]).collect();
    let records =
        || addresses.iter().map(|&four| NewRecord::new(owner.as_wire(), 5, Rdata::A(four.into())));
    let origin = || vec![Origin::new(&name("a.test."), 7)];
    let limits = |names, records, bytes| Limits { names, records, bytes };
    for (limits, refused) in [
        (limits(0, 99, 1 << 20), Refused::Names(0)),
        (limits(9, 4, 1 << 20), Refused::Records(4)),
        (limits(9, 99, 300), Refused::Bytes(300)),
    ] {
        let feed = Feed::new(origin(), limits);
        let source = feed.source();
        let mut batch = feed.begin();
        batch.upsert(source.number(1), records()).unwrap();
        assert_eq!(batch.commit(1), Err(refused.clone()));
        assert!(!feed.zones().get(&name("a.test.")).unwrap().is_loaded());
        assert_eq!(feed.usage().owners, 0);
        if limits.bytes > 300 {
            feed.begin().commit(2).unwrap();
            let mut batch = feed.begin();
            batch.upsert(source.number(1), records()).unwrap();
            assert_eq!(batch.commit(3), Err(refused));
            assert_eq!(feed.usage().records, 0);
        }
    }
    let feed = Feed::new(origin(), limits(9, 99, 1 << 20));
    let source = feed.source();
    let mut batch = feed.begin();
    let long = vec![0; feed::MAX_KEY + 1];
    assert_eq!(batch.upsert(source.owner(&long), records()), Err(Refused::Key(1025)));
    batch.upsert(source.number(1), records()).unwrap();
    assert_eq!(batch.commit(1).unwrap().added, 5, "a key that is refused harms nothing else");
    assert_eq!(feed.owners_of(owner.as_wire()), [(source, 1u64.to_be_bytes().to_vec())]);
}

#[test]
fn a_list_may_take_its_time() {
    let (feed, [source, other]) = feed();
    let www = name("www.a.test.");
    let say = |batch: &mut feed::Batch<'_>, key: u64, last: u8| {
        let record = NewRecord::new(www.as_wire(), 5, Rdata::A([192, 0, 2, last].into()));
        batch.upsert(source.number(key), [record]).unwrap();
    };
    let mut batch = feed.begin();
    (1..=3).for_each(|key| say(&mut batch, key, key as u8));
    batch.commit(1).unwrap();
    let addresses = || {
        let zone = feed.zones().get(&name("a.test.")).unwrap().zone_to_keep().unwrap();
        let mut all = Vec::new();
        if let Some(set) = zone.rrset(www.as_wire(), Rtype::A) {
            set.for_each(|_, rdata| all.push(rdata[3]));
        }
        all.sort_unstable();
        all
    };
    // While owners are listed, another batch adds one and changes one.
    let mut list = feed.begin();
    list.list(source);
    say(&mut list, 1, 1);
    let mut between = feed.begin();
    say(&mut between, 4, 4);
    say(&mut between, 2, 20);
    between.commit(2).unwrap();
    say(&mut list, 5, 5);
    assert_eq!(addresses(), [1, 3, 4, 20], "nothing of a list is visible before its commit");
    list.commit(3).unwrap();
    assert_eq!(addresses(), [1, 4, 5, 20], "only the owner that nobody named is gone");
    // Of two lists of a source, the one that begins last counts.
    let (mut first, mut second) = (feed.begin(), feed.begin());
    first.list(source);
    second.list(other);
    second.list(source);
    say(&mut first, 1, 1);
    say(&mut second, 1, 1);
    assert_eq!(first.commit(4), Err(Refused::Superseded));
    second.commit(5).unwrap();
    assert_eq!(addresses(), [1]);
    // So many lists that their marks are used again.
    for round in 0..600u64 {
        let mut list = feed.begin();
        list.list(source);
        say(&mut list, round % 2, round as u8);
        list.commit(round).unwrap();
        assert_eq!(addresses(), [round as u8]);
    }
}
