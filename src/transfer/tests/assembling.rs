//! Replies of every form, from messages as they come.

use wire::Rtype;

use super::kit::{a, limits, lines, name, record, request, response, soa, soa_of, zone_of};
use crate::{Assembled, Assembler, Fault, Kind, Limits};

/// Feeds messages; what they amount to, if the last one ends the reply and no other does.
fn assemble(kind: Kind, messages: &[Vec<u8>]) -> Result<Assembled, Fault> {
    let mut assembler = Assembler::new(request(kind), &limits(), 0);
    for (at, message) in messages.iter().enumerate() {
        let ended = assembler.take(message)?;
        assert_eq!(ended, at + 1 == messages.len(), "message {at}");
    }
    Ok(assembler.finish().expect("it has ended"))
}

fn zone(kind: Kind, messages: &[Vec<u8>]) -> zone::Zone {
    match assemble(kind, messages).unwrap() {
        Assembled::Zone(builder) => builder.finish().unwrap(),
        _ => panic!("no zone"),
    }
}

fn fault(kind: Kind, messages: &[Vec<u8>]) -> Fault {
    assemble(kind, messages).err().expect("a fault")
}

fn axfr(records: &[Vec<u8>]) -> Vec<u8> {
    response(7, Some(Rtype::AXFR), records)
}

fn ixfr(records: &[Vec<u8>]) -> Vec<u8> {
    response(7, Some(Rtype::IXFR), records)
}

#[test]
fn a_zone_comes_in_one_message_or_in_many() {
    let records = [soa(5), a("www.example.org.", 1), a("example.org.", 2)];
    let expected = lines(&zone_of(&records));
    let all = [records.to_vec(), vec![soa(5)]].concat();
    assert_eq!(lines(&zone(Kind::Axfr, &[axfr(&all)])), expected);
    // One record a message, of which the first alone has the question.
    let mut messages = vec![axfr(&all[..1])];
    messages.extend(all[1..].iter().map(|one| response(7, None, std::slice::from_ref(one))));
    assert_eq!(lines(&zone(Kind::Axfr, &messages)), expected);
    // A message without records in between, and the question in all of them.
    let messages = [axfr(&all[..2]), axfr(&[]), axfr(&all[2..])];
    assert_eq!(lines(&zone(Kind::Axfr, &messages)), expected);
    // The same as a reply to IXFR.
    assert_eq!(lines(&zone(Kind::Ixfr(4), &[ixfr(&all)])), expected);
    assert_eq!(lines(&zone(Kind::Ixfr(4), &[ixfr(&all[..1]), ixfr(&all[1..])])), expected);
}

#[test]
fn owners_that_point_to_the_one_before_are_the_same() {
    // The SOA record at 29; `www` written out, then twice a pointer to it, then one to the question.
    let first = soa(5);
    let at = (12 + 13 + 4 + first.len()) as u16 | 0xC000;
    let rest = |pointer: u16, last: u8| {
        [&pointer.to_be_bytes()[..], &[0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, last]].concat()
    };
    let www = [&b"\x03www"[..], &rest(0xC00C, 1)].concat();
    let message = axfr(&[first.clone(), www, rest(at, 2), rest(at, 3), rest(0xC00C, 4), soa(5)]);
    let expected = zone_of(&[
        first,
        a("www.example.org.", 1),
        a("www.example.org.", 2),
        a("www.example.org.", 3),
        a("example.org.", 4),
    ]);
    assert_eq!(lines(&zone(Kind::Axfr, &[message])), lines(&expected));
}

#[test]
fn a_server_without_a_newer_version_says_so_with_its_soa_record() {
    for serial in [5, 4, 0x8000_0005] {
        match assemble(Kind::Ixfr(5), &[ixfr(&[soa(serial)])]).unwrap() {
            Assembled::Current(soa) => assert_eq!(soa.serial, serial),
            _ => panic!("serial {serial}"),
        }
    }
    // The serial number has passed its end.
    let wrapped = [soa(3), soa(0xFFFF_FFFF), soa(3), a("www.example.org.", 1), soa(3)];
    assert!(matches!(
        assemble(Kind::Ixfr(0xFFFF_FFFF), &[ixfr(&wrapped)]),
        Ok(Assembled::Changes(one)) if one.len() == 1
    ));
}

#[test]
fn a_zone_of_an_soa_record_alone_is_a_zone() {
    for kind in [Kind::Axfr, Kind::Ixfr(4)] {
        let message = response(
            7,
            Some(if kind == Kind::Axfr { Rtype::AXFR } else { Rtype::IXFR }),
            &[soa(5), soa(5)],
        );
        assert_eq!(zone(kind, &[message]).record_count(), 1);
    }
}

#[test]
fn difference_sequences_become_changes() {
    let (one, two) = (a("one.example.org.", 1), a("two.example.org.", 2));
    let records =
        [soa(7), soa(5), one.clone(), soa(6), two.clone(), soa(6), soa(7), one.clone(), soa(7)];
    // Wherever the messages are cut.
    for cut in 1..records.len() {
        let messages = [ixfr(&records[..cut]), response(7, None, &records[cut..])];
        let Assembled::Changes(changes) = assemble(Kind::Ixfr(5), &messages).unwrap() else {
            panic!("cut at {cut}")
        };
        let steps: Vec<_> =
            changes.iter().map(|one| (one.from_serial(), one.to_serial())).collect();
        assert_eq!(steps, [(Some(5), Some(6)), (Some(6), Some(7))]);
        assert_eq!(changes[0].removed().as_wire(), [soa(5), one.clone()].concat());
        assert_eq!(changes[0].added().as_wire(), [soa(6), two.clone()].concat());
        assert_eq!(changes[1].removed().as_wire(), soa(6));
        assert_eq!(changes[1].added().as_wire(), [soa(7), one.clone()].concat());
    }
}

#[test]
fn sequences_that_do_not_chain_are_refused() {
    let www = || a("www.example.org.", 1);
    let refused = |records: &[Vec<u8>], expected: Fault| {
        assert_eq!(fault(Kind::Ixfr(5), &[ixfr(records)]), expected);
    };
    // It begins with another version than ours.
    refused(&[soa(7), soa(4), soa(7), soa(7)], Fault::Chain { expected: 5, found: 4 });
    // The second sequence does not begin where the first ended.
    let gap = [soa(9), soa(5), soa(6), www(), soa(7), soa(9), soa(9)];
    refused(&gap, Fault::Chain { expected: 6, found: 7 });
    // The end comes before the newest version was reached.
    let early = [soa(9), soa(5), soa(6), www(), soa(9)];
    refused(&early, Fault::Chain { expected: 6, found: 9 });
    for to in [5, 4, 8] {
        refused(&[soa(7), soa(5), soa(to)], Fault::Backwards { from: 5, to });
    }
    // The last SOA record, or the one in the sequence, is another than the first of the same serial.
    let mut other = soa(7);
    *other.last_mut().unwrap() += 1;
    let differs = Fault::OtherSoa { first: 7, last: 7 };
    refused(&[soa(7), soa(5), soa(7), other.clone()], differs.clone());
    refused(&[soa(7), soa(5), other], differs);
    refused(&[soa(7), soa(5), soa(7), soa(6)], Fault::OtherSoa { first: 7, last: 6 });
    refused(&[soa(7), soa(5), soa(7), soa(7), www()], Fault::Surplus);
}

#[test]
fn records_outside_the_zone_are_left_out_and_counted() {
    let records = [
        soa(5),
        a("www.example.org.", 1),
        a("www.example.net.", 2),
        a("notexample.org.", 3),
        soa_of("example.net.", 9),
        soa(5),
    ];
    let mut assembler = Assembler::new(request(Kind::Axfr), &limits(), 0);
    assert!(assembler.take(&axfr(&records)).unwrap());
    assert_eq!(assembler.tally().left_out, 3);
    assert_eq!(assembler.tally().first_left_out.as_deref(), Some("www.example.net."));
    let Some(Assembled::Zone(builder)) = assembler.finish() else { panic!("no zone") };
    assert_eq!(builder.finish().unwrap().record_count(), 2);

    let foreign = a("www.example.net.", 1);
    let records =
        [soa(6), soa(5), foreign.clone(), soa(6), foreign, a("www.example.org.", 1), soa(6)];
    let Ok(Assembled::Changes(changes)) = assemble(Kind::Ixfr(5), &[ixfr(&records)]) else {
        panic!("no changes")
    };
    assert_eq!((changes[0].removed().len(), changes[0].added().len()), (1, 2));
}

#[test]
fn messages_that_are_no_reply_are_refused() {
    let good = [soa(5), a("www.example.org.", 1), soa(5)];
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = axfr(&good);
        change(&mut message);
        fault(Kind::Axfr, &[message])
    };
    assert_eq!(with(&|message| message[1] = 8), Fault::OtherId);
    assert_eq!(with(&|message| message[2] = 0x04), Fault::NoResponse);
    assert_eq!(with(&|message| message[2] = 0xA4), Fault::NoResponse);
    assert_eq!(with(&|message| message[2] |= 0x02), Fault::Truncated);
    assert_eq!(with(&|message| message[3] = 5), Fault::Rcode(wire::Rcode::REFUSED));
    assert_eq!(with(&|message| message[13] = b'f'), Fault::OtherQuestion);
    assert_eq!(with(&|message| message[26] = 1), Fault::OtherQuestion);
    assert_eq!(with(&|message| message[28] = 3), Fault::OtherQuestion);
    assert_eq!(with(&|message| message.truncate(11)), Fault::Malformed);
    assert_eq!(with(&|message| message.truncate(60)), Fault::Malformed);
    assert_eq!(with(&|message| message[7] = 4), Fault::Malformed);
    assert_eq!(fault(Kind::Axfr, &[response(7, None, &good)]), Fault::OtherQuestion);
    assert_eq!(fault(Kind::Ixfr(1), &[axfr(&good)]), Fault::OtherQuestion);
    // An error in a later message, too.
    let mut second = response(7, None, &good[1..]);
    second[3] = 2;
    let messages = [axfr(&good[..1]), second];
    assert_eq!(fault(Kind::Axfr, &messages), Fault::Rcode(wire::Rcode::SERVFAIL));
}

#[test]
fn records_that_no_zone_has_are_refused() {
    let refused = |bad: Vec<u8>| fault(Kind::Axfr, &[axfr(&[soa(5), bad, soa(5)])]);
    let owner = || name("www.example.org.");
    let with_class = |class: u8| {
        let mut record = a("www.example.org.", 1);
        record[20] = class;
        record
    };
    assert_eq!(refused(with_class(3)), Fault::OtherClass(owner(), Rtype::A));
    for rtype in [Rtype::OPT, Rtype::TSIG, Rtype::ANY] {
        let bad = record("www.example.org.", rtype, &[]);
        assert_eq!(refused(bad), Fault::NoData(owner(), rtype));
    }
    for (rtype, rdata) in [
        (Rtype::A, &[192, 0, 2][..]),
        (Rtype::AAAA, &[0; 15]),
        (Rtype::NS, b"\x03abc"),
        (Rtype::NS, b"\0\0"),
        (Rtype::MX, b"\0\x0A"),
        (Rtype::TXT, b""),
        (Rtype::SOA, b"\0\0\0\0"),
        (Rtype::CNAME, b"\xC0\xFF"),
    ] {
        let bad = record("www.example.org.", rtype, rdata);
        assert_eq!(refused(bad), Fault::Rdata(owner(), rtype), "{rtype} {rdata:?}");
    }
    // A name that points to itself.
    assert_eq!(refused([&[0xC0, 83][..], &a(".", 1)[1..]].concat()), Fault::Malformed);
}

#[test]
fn a_reply_that_does_not_begin_with_the_soa_record_is_refused() {
    let begins = |record: Vec<u8>| fault(Kind::Axfr, &[axfr(&[record, soa(5)])]);
    let of = |owner: &str, rtype| Fault::NoSoa(Some((name(owner), rtype)));
    assert_eq!(begins(a("www.example.org.", 1)), of("www.example.org.", Rtype::A));
    assert_eq!(begins(soa_of("example.net.", 5)), of("example.net.", Rtype::SOA));
    let ends = fault(Kind::Axfr, &[axfr(&[soa(5), a("www.example.org.", 1), soa(6)])]);
    assert_eq!(ends, Fault::OtherSoa { first: 5, last: 6 });
}

#[test]
fn bounds_hold() {
    let many: Vec<Vec<u8>> = (0..100).map(|last| a("www.example.org.", last)).collect();
    let message = axfr(&[vec![soa(5)], many].concat());
    let bounded = |limits: Limits| {
        Assembler::new(request(Kind::Axfr), &limits, 0).take(&message).unwrap_err()
    };
    assert_eq!(bounded(Limits { records: 100, ..limits() }), Fault::Records(100));
    assert_eq!(bounded(Limits { octets: 1000, ..limits() }), Fault::Octets(1000));
    // Owners that are pointers take more room once they are written out.
    let short = [&[0xC0, 12][..], &a(".", 1)[1..]].concat();
    let message = axfr(&[vec![soa(5)], vec![short; 100]].concat());
    let limits = Limits { octets: message.len() as u64, ..limits() };
    let grown = Assembler::new(request(Kind::Axfr), &limits, 0).take(&message);
    assert_eq!(grown, Err(Fault::Octets(limits.octets)));
    // Messages without a record end, too.
    let mut assembler = Assembler::new(request(Kind::Axfr), &limits, 0);
    let empty = axfr(&[]);
    let ended = (0..10_000).find_map(|_| assembler.take(&empty).err());
    assert_eq!(ended, Some(Fault::Octets(limits.octets)));
}

#[test]
fn an_older_zone_is_refused_with_its_first_record() {
    let older = |sent: u32, ours: u32| {
        let assembler = Assembler::new(request(Kind::Axfr), &limits(), 0);
        assembler.newer_than(Some(ours)).take(&axfr(&[soa(sent)]))
    };
    assert_eq!(older(5, 5), Err(Fault::NotNewer { sent: 5, ours: 5 }));
    assert_eq!(older(4, 5), Err(Fault::NotNewer { sent: 4, ours: 5 }));
    assert_eq!(older(6, 5), Ok(false));
}
