//! Versions made by changes against fresh loads of the result: every answer must be the same, byte by byte.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod store_kit;

use std::sync::Arc;

use catena_zone::{Builder, Changes, RecordRef, Refused, Zone};
use proptest::prelude::*;
use store_kit::query;
use wire::{Class, Name, Reply, Rtype};

const APEX: &str = "zone.test.";

/// A record of the model.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    owner: Name,
    rtype: Rtype,
    ttl: u32,
    rdata: Vec<u8>,
}

impl Held {
    fn new(owner: &str, rtype: Rtype, rdata: Vec<u8>) -> Self {
        let owner = if owner.is_empty() { APEX.to_owned() } else { format!("{owner}.{APEX}") };
        Self { owner: Name::from_text(&owner).unwrap(), rtype, ttl: 300, rdata }
    }

    fn borrow(&self) -> RecordRef<'_> {
        let (owner, rtype, ttl, rdata) = (self.owner.as_wire(), self.rtype, self.ttl, &self.rdata);
        RecordRef { owner, rtype, class: Class::IN, ttl, rdata }
    }

    fn is(&self, other: &Self) -> bool {
        (&self.owner, self.rtype, &self.rdata) == (&other.owner, other.rtype, &other.rdata)
    }
}

fn load(records: &[Held]) -> Result<Zone, Vec<catena_zone::Unfit>> {
    let mut builder = Builder::new(&Name::from_text(APEX).unwrap(), 0);
    for record in records {
        builder.add(record.borrow()).unwrap();
    }
    builder.finish()
}

fn wire(text: &str) -> Vec<u8> {
    Name::from_text(text).unwrap().as_wire().to_vec()
}

fn soa(serial: u32) -> Vec<u8> {
    [&[0, 0][..], &serial.to_be_bytes(), &[7; 16]].concat()
}

fn signature(covered: Rtype) -> Vec<u8> {
    [&covered.0.to_be_bytes()[..], &[13, 2], &[1; 14], &wire(APEX), &[9; 8]].concat()
}

fn nsec() -> Vec<u8> {
    [&wire(APEX)[..], &[0, 1, 0x40]].concat()
}

fn nsec3() -> Vec<u8> {
    [&[1, 0, 0, 0, 0, 20][..], &[3; 20], &[0, 1, 0x40]].concat()
}

/// How the first version proves what does not exist.
#[derive(Clone, Copy, Debug)]
enum Signed {
    Not,
    Nsec,
    Nsec3,
}

fn first(signed: Signed) -> Vec<Held> {
    let mut records = vec![
        Held::new("", Rtype::SOA, soa(1)),
        Held::new("", Rtype::NS, wire("ns.zone.test.")),
        Held::new("b.a", Rtype::A, vec![192, 0, 2, 1]),
        Held::new("*.c", Rtype::TXT, vec![1, b'w']),
    ];
    if !matches!(signed, Signed::Not) {
        records.push(Held::new("", Rtype::RRSIG, signature(Rtype::SOA)));
    }
    match signed {
        Signed::Not => {}
        Signed::Nsec => {
            for owner in ["", "b.a", "*.c"] {
                records.push(Held::new(owner, Rtype::NSEC, nsec()));
                records.push(Held::new(owner, Rtype::RRSIG, signature(Rtype::NSEC)));
            }
        }
        Signed::Nsec3 => {
            records.push(Held::new("", Rtype::NSEC3PARAM, vec![1, 0, 0, 0, 0]));
            for digit in ["0", "8", "g"] {
                records.push(Held::new(&digit.repeat(32), Rtype::NSEC3, nsec3()));
            }
        }
    }
    records
}

fn owner() -> impl Strategy<Value = String> {
    let label = || prop_oneof![3 => Just("a"), 3 => Just("b"), 2 => Just("c"), 2 => Just("*")];
    prop::collection::vec(label(), 0..4).prop_map(|labels| labels.join("."))
}

fn record() -> impl Strategy<Value = Held> {
    let data = prop_oneof![
        6 => (0u8..3).prop_map(|last| (Rtype::A, vec![192, 0, 2, last])),
        2 => (0u8..2).prop_map(|text| (Rtype::TXT, vec![1, text])),
        2 => owner().prop_map(|to| (Rtype::MX, [&[0, 9][..], &wire(&under(&to))].concat())),
        2 => owner().prop_map(|to| (Rtype::CNAME, wire(&under(&to)))),
        1 => owner().prop_map(|to| (Rtype::DNAME, wire(&under(&to)))),
        3 => owner().prop_map(|to| (Rtype::NS, wire(&under(&to)))),
        1 => Just((Rtype::DS, vec![1; 24])),
        4 => Just((Rtype::NSEC, nsec())),
        3 => Just((Rtype::RRSIG, signature(Rtype::NSEC))),
        1 => Just((Rtype::RRSIG, signature(Rtype::SOA))),
        1 => (0u32..9).prop_map(|serial| (Rtype::SOA, soa(serial))),
    ];
    let hashed = prop_oneof![Just("1"), Just("4"), Just("8"), Just("s")]
        .prop_map(|digit| Held::new(&digit.repeat(32), Rtype::NSEC3, nsec3()));
    prop_oneof![
        9 => (owner(), data, 1u32..3).prop_map(|(owner, (rtype, rdata), ttl)| {
            let owner = if rtype == Rtype::SOA { String::new() } else { owner };
            Held { ttl: ttl * 100, ..Held::new(&owner, rtype, rdata) }
        }),
        1 => hashed,
    ]
}

fn under(owner: &str) -> String {
    if owner.is_empty() { APEX.to_owned() } else { format!("{owner}.{APEX}") }
}

/// One change: which record goes (a number into those that are there), and which comes.
type Step = (Option<usize>, Option<Held>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => record().prop_map(|new| (None, Some(new))),
        3 => any::<usize>().prop_map(|old| (Some(old), None)),
        1 => (any::<usize>(), record()).prop_map(|(old, new)| (Some(old), Some(new))),
    ];
    prop::collection::vec(step, 1..5)
}

/// The changes of some steps, and the records afterwards.
fn make(records: &[Held], steps: &[Step]) -> (Changes, Vec<Held>) {
    let (mut changes, mut after) = (Changes::new(), records.to_vec());
    let mut came = Vec::new();
    for (goes, comes) in steps {
        if let Some(number) = goes
            && !after.is_empty()
        {
            // All that goes was there before: changes take away first.
            let old = after.remove(number % after.len());
            changes.remove(old.borrow());
        }
        came.extend(comes.clone());
    }
    for new in came {
        changes.add(new.borrow());
        match after.iter_mut().find(|known| known.is(&new)) {
            Some(known) => known.ttl = new.ttl,
            None => after.push(new),
        }
    }
    (changes, after)
}

fn answer(zone: &Zone, qname: &Name, qtype: Rtype, dnssec: bool) -> (String, Vec<u8>) {
    let query = query(qname, qtype, dnssec);
    let mut reply = Reply::new();
    reply.begin(&query);
    let outcome = zone.answer(&query, &mut reply);
    (format!("{outcome:?} {:?}", reply.rcode()), reply.bytes().to_vec())
}

fn all(zone: &Zone) -> Vec<Held> {
    let mut found = Vec::new();
    let mut records = zone.records();
    while let Some(record) = records.next_record() {
        found.push(Held {
            owner: Name::from_wire(record.owner).unwrap(),
            rtype: record.rtype,
            ttl: record.ttl,
            rdata: record.rdata.to_vec(),
        });
    }
    found.sort_by(|a, b| (&a.owner, a.rtype.0, &a.rdata).cmp(&(&b.owner, b.rtype.0, &b.rdata)));
    found
}

/// Compares a version with the fresh load, by what they hold and what they answer.
fn compare(made: &Zone, loaded: &Zone, questions: &[(String, usize)]) -> Result<(), TestCaseError> {
    prop_assert_eq!(all(made), all(loaded));
    prop_assert_eq!(made.record_count(), loaded.record_count());
    prop_assert_eq!(made.names(), loaded.names());
    prop_assert_eq!(made.serial(), loaded.serial());
    prop_assert_eq!(made.is_signed(), loaded.is_signed());
    prop_assert!(made.difference(loaded).is_empty());
    for (owner, qtype) in questions {
        let qtype = [
            Rtype::A,
            Rtype::TXT,
            Rtype::MX,
            Rtype::CNAME,
            Rtype::NS,
            Rtype::DS,
            Rtype::ANY,
            Rtype::SOA,
            Rtype::NSEC,
        ][*qtype];
        let qname = Name::from_text(&under(owner)).unwrap();
        for dnssec in [false, true] {
            let (got, want) =
                (answer(made, &qname, qtype, dnssec), answer(loaded, &qname, qtype, dnssec));
            prop_assert_eq!(got, want, "{} {} {}", qname, qtype, dnssec);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn changes_answer_as_a_fresh_load_does(
        signed in prop_oneof![Just(Signed::Not), Just(Signed::Nsec), Just(Signed::Nsec3)],
        batches in prop::collection::vec((steps(), 0u8..12), 1..14),
        questions in prop::collection::vec((owner(), 0usize..9), 24),
    ) {
        let mut records = first(signed);
        let mut zone = Arc::new(load(&records).unwrap());
        let mut kept = vec![(Arc::clone(&zone), records.clone())];
        for (steps, fold) in &batches {
            let (changes, after) = make(&records, steps);
            match (zone.apply(&changes), load(&after)) {
                (Ok(made), Ok(loaded)) => {
                    compare(&made, &loaded, &questions)?;
                    let there_and_back = made.difference(&zone);
                    zone = Arc::new(made);
                    let back = zone.apply(&there_and_back).unwrap();
                    prop_assert!(back.difference(&kept.last().unwrap().0).is_empty());
                    records = after;
                }
                (Err(Refused::Unfit(_)), Err(_)) => {}
                (made, loaded) => {
                    let (made, loaded) = (made.map(|_| ()), loaded.map(|_| ()));
                    prop_assert!(false, "{:?} but a load gives {:?}", made, loaded);
                }
            }
            if *fold == 0 {
                zone = Arc::new(zone.fold().unwrap());
                compare(&zone, &load(&records).unwrap(), &questions)?;
            }
            kept.push((Arc::clone(&zone), records.clone()));
        }
        // Versions share what is equal, and no later change shows in an earlier one.
        for (zone, records) in kept {
            compare(&zone, &load(&records).unwrap(), &questions[..4])?;
        }
    }
}

#[test]
fn what_is_missing_or_foreign_is_refused() {
    let zone = Arc::new(load(&first(Signed::Not)).unwrap());
    let mut changes = Changes::new();
    changes.remove(Held::new("b.a", Rtype::A, vec![192, 0, 2, 9]).borrow());
    let refused = zone.apply(&changes).err().unwrap();
    assert_eq!(
        refused.to_string(),
        "the A record of `b.a.zone.test.` that goes is not in the zone"
    );
    let mut changes = Changes::new();
    let outside = Name::from_text("other.test.").unwrap();
    changes.add(RecordRef {
        owner: outside.as_wire(),
        ..Held::new("", Rtype::A, vec![1; 4]).borrow()
    });
    let refused = zone.apply(&changes).err().unwrap();
    assert_eq!(refused.to_string(), "`other.test.` is not in zone `zone.test.`");
    let mut changes = Changes::new();
    changes.remove(Held::new("", Rtype::SOA, soa(1)).borrow());
    let refused = zone.apply(&changes).err().unwrap();
    assert_eq!(refused.to_string(), "zone `zone.test.` has no SOA record");
}

#[test]
fn a_large_overlay_is_folded() {
    let mut records = first(Signed::Nsec);
    let mut zone = Arc::new(load(&records).unwrap());
    let mut due = 0;
    for number in 0..600u32 {
        let mut changes = Changes::new();
        let new = Held::new(&format!("n{number}.a"), Rtype::A, number.to_be_bytes().to_vec());
        changes.add(new.borrow());
        records.push(new);
        zone = Arc::new(zone.apply(&changes).unwrap());
        if zone.fold_due() {
            due += 1;
            zone = Arc::new(zone.fold().unwrap());
            assert!(!zone.fold_due());
        }
    }
    assert!((3..=9).contains(&due), "{due} folds");
    let fresh = load(&records).unwrap();
    assert_eq!(all(&zone), all(&fresh));
    assert!(zone.memory() < fresh.memory() * 3, "{} {}", zone.memory(), fresh.memory());
}

#[test]
fn a_large_set_changes_as_fast_as_it_loads() {
    let mut records = first(Signed::Not);
    let address = |number: u32| Held::new("large", Rtype::A, number.to_be_bytes().to_vec());
    records.extend((0..100_000).map(address));
    let before = Arc::new(load(&records).unwrap());
    for record in records.iter_mut().filter(|record| record.rdata.len() == 4) {
        record.ttl += 1;
    }
    let began = std::time::Instant::now();
    let loaded = load(&records).unwrap();
    let load_time = began.elapsed();
    let began = std::time::Instant::now();
    let changes = before.difference(&loaded);
    let made = before.apply(&changes).unwrap();
    let changed = began.elapsed();
    assert!(made.difference(&loaded).is_empty());
    assert!(changed < load_time * 100, "{changed:?} beside {load_time:?}");
}
