//! What a transfer sends, read back as a secondary reads it: all records of the zone, or its changes,
//! in messages that keep their bounds.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

use std::sync::Arc;

use catena_zone::transfer::{Bounds, Outgoing, Progress, TooLarge};
use catena_zone::{Builder, Changes, Live, RecordRef, Zone};
use proptest::prelude::*;
use wire::{Class, Message, Name, NameBuf, Reply, Request, Rtype, Section, rdata};

/// Owner in wire form, type, TTL, uncompressed RDATA.
type Record = (Vec<u8>, Rtype, u32, Vec<u8>);

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn soa(apex: &Name, serial: u32) -> Record {
    let mut rdata = [apex.as_wire(), name("Host.Example.").as_wire()].concat();
    for number in [serial, 1, 2, 3, 4] {
        rdata.extend_from_slice(&u32::to_be_bytes(number));
    }
    (apex.as_wire().to_vec(), Rtype::SOA, 3600, rdata)
}

fn as_ref(record: &Record) -> RecordRef<'_> {
    RecordRef {
        owner: &record.0,
        rtype: record.1,
        class: Class::IN,
        ttl: record.2,
        rdata: &record.3,
    }
}

fn zone(apex: &Name, serial: u32, records: &[Record]) -> Arc<Zone> {
    let mut builder = Builder::new(apex, 0);
    for record in [&soa(apex, serial)].into_iter().chain(records) {
        builder.add(as_ref(record)).unwrap();
    }
    Arc::new(builder.finish().unwrap_or_else(|wrong| panic!("{wrong:?}")))
}

/// All records of a version, the SOA record first.
fn stored(zone: &Zone) -> Vec<Record> {
    let mut all = Vec::new();
    let mut records = zone.records();
    while let Some(record) = records.next_record() {
        all.push((record.owner.to_vec(), record.rtype, record.ttl, record.rdata.to_vec()));
    }
    all
}

fn question(name: &Name, qtype: Rtype) -> Request {
    let mut bytes = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(name.as_wire());
    bytes.extend_from_slice(&qtype.0.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    let mut query = Request::new();
    query.receive(&bytes).unwrap();
    query
}

/// The records of each message.
fn messages(
    mut transfer: Outgoing,
    query: &Request,
    bounds: Bounds,
) -> Result<Vec<Vec<Record>>, TooLarge> {
    let mut reply = Reply::new();
    let mut all = Vec::new();
    loop {
        reply.begin(query);
        let progress = transfer.fill(&mut reply, bounds)?;
        reply.seal(7, 0x8400);
        assert!(reply.len() + bounds.reserved <= bounds.message, "{} octets", reply.len());
        let records = read(&reply);
        let plain: usize = records.iter().map(|record| record.0.len() + 10 + record.3.len()).sum();
        assert_eq!(reply.plain_len() as usize, reply.question_end() + plain);
        assert!(!records.is_empty(), "a message without records");
        all.push(records);
        if progress == Progress::Done {
            let sent: usize = all.iter().map(Vec::len).sum();
            assert_eq!(transfer.records(), sent as u64);
            return Ok(all);
        }
    }
}

fn read(reply: &Reply) -> Vec<Record> {
    let message = Message::new(reply.bytes()).unwrap();
    let mut owner = NameBuf::new();
    let each = message.records().map(|record| {
        let record = record.unwrap();
        assert_eq!((record.section, record.class), (Section::Answer, Class::IN));
        record.owner(&mut owner).unwrap();
        let mut plain = Vec::new();
        rdata::expand(record.rtype, reply.bytes(), record.rdata_at, record.end, &mut plain)
            .unwrap();
        (owner.as_wire().to_vec(), record.rtype, record.ttl, plain)
    });
    each.collect()
}

fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_unstable();
    records
}

const LARGE: Bounds = Bounds { message: 65_535, reserved: 11 };

const LABELS: [&str; 6] = ["a", "B", "mail", "ns1", "_sip", "a-long-label-0123456789"];
const ELSEWHERE: [&str; 4] = ["ns.Example.net.", "ns2.example.net.", ".", "example.net."];

/// A name below the apex, by the indices of its labels.
fn below(apex: &Name, labels: &[usize]) -> Name {
    let mut text: String = labels.iter().map(|&at| format!("{}.", LABELS[at])).collect();
    text.push_str(if apex.is_root() { "" } else { "Zone.test." });
    name(if text.is_empty() { "." } else { &text })
}

fn record(apex: &Name, owner: &[usize], kind: u8, target: &[usize], number: u16) -> Record {
    let to = match number % 3 {
        0 => name(ELSEWHERE[usize::from(number) / 3 % 4]),
        _ => below(apex, target),
    };
    let to = to.as_wire();
    let two = number.to_be_bytes();
    let (rtype, rdata) = match kind {
        0 => (Rtype::A, [[192, 0], two].concat()),
        1 => (Rtype::MX, [&two, to].concat()),
        2 => (Rtype::PTR, to.to_vec()),
        3 => (Rtype::SRV, [&two[..], &two, &two, to].concat()),
        4 => (Rtype::TXT, [&[2][..], &two, &vec![0; usize::from(number) % 400]].concat()),
        5 => (Rtype::MINFO, [to, below(apex, owner).as_wire()].concat()),
        _ => (Rtype(65_280), two.to_vec()),
    };
    (below(apex, owner).as_wire().to_vec(), rtype, u32::from(kind), rdata)
}

fn labels() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..LABELS.len(), 0..4)
}

/// Owner, kind, target, number.
fn records() -> impl Strategy<Value = Vec<(Vec<usize>, u8, Vec<usize>, u16)>> {
    proptest::collection::vec((labels(), 0..7u8, labels(), 0..2000u16), 0..60)
}

proptest! {
    #[test]
    fn all_records_arrive_between_two_soa_records(
        all in records(),
        apex in 0..2usize,
        mixed in any::<bool>(),
        message in 700..3000usize,
        reserved in 0..100usize,
    ) {
        let apex = name(["zone.test.", "."][apex]);
        let all: Vec<Record> = all
            .iter()
            .map(|(owner, kind, target, number)| record(&apex, owner, *kind, target, *number))
            .collect();
        let zone = zone(&apex, 9, &all);
        let asked = if mixed && !apex.is_root() { name("ZONE.Test.") } else { apex.clone() };
        let query = question(&asked, Rtype::AXFR);
        let bounds = Bounds { message, reserved };
        let sent = messages(Outgoing::whole(Arc::clone(&zone)), &query, bounds).unwrap();
        let mut sent = sent.concat();
        let mut stored = stored(&zone);
        prop_assert_eq!(sent.pop(), stored.first().cloned(), "the SOA record is the last");
        prop_assert_eq!(sent.first(), stored.first());
        prop_assert_eq!(sorted(sent), sorted(std::mem::take(&mut stored)));
    }

    #[test]
    fn changes_lead_from_version_to_version(
        steps in proptest::collection::vec((records(), records()), 1..4),
        message in 700..3000usize,
    ) {
        let apex = name("zone.test.");
        let mut list = Vec::new();
        let mut expected = vec![soa(&apex, 9)];
        for (at, (removed, added)) in steps.iter().enumerate() {
            let mut changes = Changes::new();
            let mut fill = |records: &[(Vec<usize>, u8, Vec<usize>, u16)], serial, remove: bool| {
                let mut all: Vec<Record> = records
                    .iter()
                    .map(|(owner, kind, to, number)| record(&apex, owner, *kind, to, *number))
                    .collect();
                // The SOA record may be anywhere in the list, and is sent first.
                expected.push(soa(&apex, serial));
                expected.extend_from_slice(&all);
                all.insert(all.len() / 2, soa(&apex, serial));
                for record in &all {
                    if remove { changes.remove(as_ref(record)) } else { changes.add(as_ref(record)) }
                }
            };
            fill(removed, at as u32, true);
            fill(added, at as u32 + 1, false);
            list.push(Arc::new(changes));
        }
        expected.push(soa(&apex, 9));
        let transfer = Outgoing::changes(zone(&apex, 9, &[]), list);
        let query = question(&apex, Rtype::IXFR);
        let sent = messages(transfer, &query, Bounds { message, reserved: 11 }).unwrap();
        prop_assert_eq!(sent.concat(), expected);
    }
}

fn text(owner: &str, len: usize) -> Record {
    (name(owner).as_wire().to_vec(), Rtype::TXT, 1, vec![0; len])
}

#[test]
fn a_large_record_has_a_message_of_its_own() {
    let apex = name("zone.test.");
    let records = [text("a.zone.test.", 10), text("b.zone.test.", 60_000), text("c.zone.test.", 9)];
    let zone = zone(&apex, 1, &records);
    let query = question(&apex, Rtype::AXFR);
    let sent = messages(Outgoing::whole(zone), &query, LARGE).unwrap();
    let counts: Vec<usize> = sent.iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 1, 2]);
}

#[test]
fn a_record_that_fits_no_message_is_reported() {
    let apex = name("zone.test.");
    let zone = zone(&apex, 1, &[text("a.zone.test.", 65_530)]);
    let query = question(&apex, Rtype::AXFR);
    let failed = messages(Outgoing::whole(zone), &query, LARGE).unwrap_err();
    assert_eq!(failed, TooLarge { owner: name("a.zone.test."), rtype: Rtype::TXT });
}

#[test]
fn messages_are_filled_and_names_point_to_each_other() {
    let apex = name("zone.test.");
    let mut records = Vec::new();
    for host in 0..10_000u16 {
        let owner = name(&format!("host{host:05}.zone.test."));
        let target = name("ns1.elsewhere.example.");
        records.push((owner.as_wire().to_vec(), Rtype::NS, 1, target.as_wire().to_vec()));
    }
    let zone = zone(&apex, 1, &records);
    let query = question(&apex, Rtype::AXFR);
    let sent = messages(Outgoing::whole(zone), &query, LARGE).unwrap();
    // Ten octets of the label, a pointer, ten octets of the record, a pointer.
    let each = 10 + 2 + 10 + 2;
    assert!(sent.len() <= 10_000 * each / 16_200 + 1, "{} messages", sent.len());
}

/// A version after `step` of these changes to one record.
fn stepped(live: &Arc<Live>, apex: &Name, step: u32) {
    let address = |last: u32| {
        let owner = name("www.zone.test.");
        (owner.as_wire().to_vec(), Rtype::A, 60, vec![192, 0, 2, last as u8])
    };
    let mut changes = Changes::new();
    changes.remove(as_ref(&soa(apex, step)));
    changes.remove(as_ref(&address(step)));
    changes.add(as_ref(&soa(apex, step + 1)));
    changes.add(as_ref(&address(step + 1)));
    live.change(changes).unwrap();
}

#[test]
fn a_client_gets_what_its_serial_needs() {
    let apex = name("zone.test.");
    let live = Arc::new(Live::new(apex.clone()));
    let since = |live: &Live, serial| {
        let transfer = Outgoing::since(live, serial)?;
        let query = question(&apex, Rtype::IXFR);
        let incremental = transfer.is_incremental();
        let sent = messages(transfer, &query, LARGE).unwrap().concat();
        Some((incremental, sent.len()))
    };
    assert_eq!(since(&live, 1), None, "there is no version yet");
    let mut builder = Builder::new(&apex, 0);
    builder.add(as_ref(&soa(&apex, 1))).unwrap();
    let address = (name("www.zone.test.").as_wire().to_vec(), Rtype::A, 60, vec![192, 0, 2, 1]);
    builder.add(as_ref(&address)).unwrap();
    for text_at in 0..10 {
        builder.add(as_ref(&text(&format!("t{text_at}.zone.test."), 40))).unwrap();
    }
    live.replace(builder.finish().unwrap());
    stepped(&live, &apex, 1);
    stepped(&live, &apex, 2);
    assert_eq!(since(&live, 3), Some((true, 1)), "the same version");
    assert_eq!(since(&live, 4), Some((true, 1)), "a newer one");
    assert_eq!(since(&live, 2), Some((true, 6)));
    assert_eq!(since(&live, 1), Some((true, 10)));
    assert_eq!(since(&live, 0), Some((false, 13)), "its version is not known");
    assert_eq!(since(&live, 3 + (1 << 31)), Some((false, 13)), "RFC 1982: not comparable");
    for step in 3..9 {
        stepped(&live, &apex, step);
    }
    assert_eq!(since(&live, 1), Some((false, 13)), "the changes are larger than the zone");
}
