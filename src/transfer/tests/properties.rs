//! Versions of a zone, sent as a transfer that is cut and compressed at random, arrive as they were.

use proptest::prelude::*;
use wire::{Reply, Rtype, Section};
use zone::{Changes, RecordList, RecordRef, Zone};

use super::kit::{a, limits, line, lines, name, record, request, soa, zone_of};
use crate::{Assembled, Assembler, Kind};

/// Records by the bits of a number, beside an SOA record.
fn version(serial: u32, bits: u16) -> Zone {
    let mut records = vec![soa(serial)];
    for bit in (0..16u8).filter(|bit| bits >> bit & 1 == 1) {
        let owner = format!("n{}.example.org.", bit / 3);
        records.push(match bit % 3 {
            0 => a(&owner, bit),
            1 => record(
                &owner,
                Rtype::MX,
                &[&[0, bit], name("Mail.Example.org.").as_wire()].concat(),
            ),
            _ => record(&owner, Rtype::TXT, &[3, bit, b'a', b'b']),
        });
    }
    zone_of(&records)
}

fn records_of(zone: &Zone) -> RecordList {
    let mut list = RecordList::default();
    let mut records = zone.records();
    while let Some(record) = records.next_record() {
        list.push(record);
    }
    list
}

/// The messages that carry the records, so many in each; our own writer compresses them.
fn messages(rtype: Rtype, records: &[RecordRef<'_>], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = records;
    let mut sizes = sizes.iter().copied().cycle();
    let mut all = Vec::new();
    let mut asked = request(Kind::Soa).message(None);
    asked[25..27].copy_from_slice(&rtype.0.to_be_bytes());
    let mut query = wire::Request::new();
    query.receive(&asked).unwrap();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
        rest = later;
        let mut reply = Reply::new();
        reply.begin(&query);
        now.iter().for_each(|&record| reply.push(Section::Answer, record.into()));
        reply.seal(7, 0x8400);
        all.push(reply.bytes().to_vec());
    }
    all
}

fn assemble(kind: Kind, messages: &[Vec<u8>]) -> Assembled {
    let mut assembler = Assembler::new(request(kind), &limits(), 0);
    for (at, message) in messages.iter().enumerate() {
        assert_eq!(assembler.take(message), Ok(at + 1 == messages.len()), "message {at}");
    }
    assembler.finish().unwrap()
}

proptest! {
    #[test]
    fn zones_arrive_whole(bits: u16, sizes in proptest::collection::vec(1..9usize, 1..5)) {
        let sent = version(9, bits);
        let list = records_of(&sent);
        let mut records: Vec<_> = list.iter().collect();
        records.push(records[0]);
        for kind in [Kind::Axfr, Kind::Ixfr(3)] {
            let rtype = if kind == Kind::Axfr { Rtype::AXFR } else { Rtype::IXFR };
            let Assembled::Zone(builder) = assemble(kind, &messages(rtype, &records, &sizes)) else {
                panic!("no zone")
            };
            prop_assert_eq!(lines(&builder.finish().unwrap()), lines(&sent));
        }
    }

    #[test]
    fn changes_lead_to_the_newest_version(
        all in proptest::collection::vec(any::<u16>(), 2..5),
        sizes in proptest::collection::vec(1..9usize, 1..5),
    ) {
        let versions: Vec<Zone> =
            all.iter().zip(100..).map(|(bits, serial)| version(serial, *bits)).collect();
        let newest = versions.last().unwrap();
        let differences: Vec<Changes> =
            versions.windows(2).map(|pair| pair[0].difference(&pair[1])).collect();
        let end = records_of(newest);
        let end = end.iter().next().unwrap();
        let mut records = vec![end];
        for one in &differences {
            // RFC 1995 section 4: the SOA record comes first in each part.
            for part in [one.removed(), one.added()] {
                records.extend(part.iter().filter(|record| record.rtype == Rtype::SOA));
                records.extend(part.iter().filter(|record| record.rtype != Rtype::SOA));
            }
        }
        records.push(end);
        let sent = messages(Rtype::IXFR, &records, &sizes);
        let Assembled::Changes(got) = assemble(Kind::Ixfr(100), &sent) else {
            panic!("no changes")
        };
        prop_assert_eq!(got.len(), differences.len());
        let sorted = |list: &RecordList| {
            let mut all: Vec<_> = list.iter().map(line).collect();
            all.sort();
            all
        };
        for (got, sent) in got.iter().zip(&differences) {
            prop_assert_eq!(sorted(got.removed()), sorted(sent.removed()));
            prop_assert_eq!(sorted(got.added()), sorted(sent.added()));
        }
        let mut zone = std::sync::Arc::new(version(100, all[0]));
        for one in &got {
            zone = std::sync::Arc::new(zone.apply(one).unwrap());
        }
        prop_assert_eq!(lines(&zone), lines(newest));
    }

    #[test]
    fn any_octets_end_within_the_bounds(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut message = request(Kind::Axfr).message(None);
        message[2] = 0x84;
        message[6..8].copy_from_slice(&[0, 9]);
        message.extend_from_slice(&octets);
        let mut assembler = Assembler::new(request(Kind::Axfr), &limits(), 0);
        let _ = assembler.take(&message);
        prop_assert!(assembler.tally().records <= 9);
    }
}
