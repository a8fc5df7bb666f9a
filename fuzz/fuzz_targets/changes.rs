//! Changes of a zone, a line each: `+ RECORD` comes, `- RECORD` goes, an empty line publishes, `fold` folds.
//! Each version answers as a fresh load of its records does, byte by byte, or both are refused.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wire::{Name, Reply, Request, Rtype, name};
use zone::master::{self, OwnedRecord};
use zone::{Builder, Changes, RecordRef, Zone};

const TYPES: [Rtype; 7] =
    [Rtype::A, Rtype::NS, Rtype::DS, Rtype::CNAME, Rtype::ANY, Rtype::NSEC, Rtype::MX];

fuzz_target!(|text: &str| {
    let apex = Name::from_text("z.").expect("a name");
    let first = ["@ SOA a a 1 2 3 4 5", "@ NS a", "a A 192.0.2.1"];
    let mut records: Vec<OwnedRecord> = first.iter().filter_map(|line| read(line, &apex)).collect();
    let mut zone = Arc::new(load(&records, &apex).expect("a zone"));
    let (mut came, mut gone) = (Vec::new(), Vec::new());
    for line in text.lines().take(64).chain([""]) {
        match line.split_at_checked(2) {
            Some(("+ ", rest)) => came.extend(read(rest, &apex)),
            Some(("- ", rest)) => gone.extend(read(rest, &apex)),
            _ if line == "fold" => zone = Arc::new(zone.fold().expect("a zone stays one")),
            _ => publish(&mut zone, &mut records, (&mut came, &mut gone)),
        }
    }
});

fn read(line: &str, apex: &Name) -> Option<OwnedRecord> {
    let record = master::record_from_line(line, apex, 60).ok()?;
    name::is_under(record.owner.as_wire(), apex.as_wire()).then_some(record)
}

fn load(records: &[OwnedRecord], apex: &Name) -> Option<Zone> {
    let mut builder = Builder::new(apex, 0);
    records.iter().for_each(|record| builder.add(borrow(record)).expect("a record of the zone"));
    builder.finish().ok()
}

fn borrow(record: &OwnedRecord) -> RecordRef<'_> {
    let OwnedRecord { owner, rtype, class, ttl, rdata } = record;
    RecordRef { owner: owner.as_wire(), rtype: *rtype, class: *class, ttl: *ttl, rdata }
}

fn publish(
    zone: &mut Arc<Zone>,
    records: &mut Vec<OwnedRecord>,
    (came, gone): (&mut Vec<OwnedRecord>, &mut Vec<OwnedRecord>),
) {
    let (mut changes, mut after) = (Changes::new(), records.clone());
    let is = |one: &OwnedRecord, other: &OwnedRecord| {
        name::eq(one.owner.as_wire(), other.owner.as_wire())
            && one.rtype == other.rtype
            && one.rdata.eq_ignore_ascii_case(&other.rdata)
    };
    for old in gone.drain(..) {
        if let Some(at) = after.iter().position(|known| is(known, &old)) {
            changes.remove(borrow(&after.remove(at)));
        }
    }
    for new in came.drain(..).filter(|new| new.class == wire::Class::IN) {
        // Text that differs in case only may be the same record or not: one of them is enough.
        if !after.iter().any(|known| is(known, &new)) {
            changes.add(borrow(&new));
            after.push(new);
        }
    }
    match (zone.apply(&changes), load(&after, zone.apex())) {
        (Ok(made), Some(loaded)) => {
            for owner in after.iter().flat_map(|record| around(&record.owner)) {
                TYPES.iter().for_each(|&qtype| {
                    assert_eq!(answer(&made, &owner, qtype), answer(&loaded, &owner, qtype));
                });
            }
            assert!(made.difference(&loaded).is_empty() && loaded.difference(&made).is_empty());
            assert_eq!(made.names(), loaded.names());
            (*zone, *records) = (Arc::new(made), after);
        }
        (made, loaded) => assert!(made.is_err() && loaded.is_none()),
    }
}

/// A name, one below it, and the one above.
fn around(owner: &Name) -> Vec<Vec<u8>> {
    let own = owner.as_wire();
    let above = name::parent(own).filter(|above| above.len() > 2).map(<[u8]>::to_vec);
    [own.to_vec(), [b"\x01x", own].concat()].into_iter().chain(above).collect()
}

fn answer(zone: &Zone, owner: &[u8], qtype: Rtype) -> Option<Vec<u8>> {
    let (mut query, mut reply) = (Request::new(), Reply::new());
    (owner.len() < 250).then(|| query.ask(owner, qtype, true))?;
    reply.begin(&query);
    let outcome = zone.answer(&query, &mut reply);
    Some([format!("{outcome:?} {:?}", reply.rcode()).as_bytes(), reply.bytes()].concat())
}
