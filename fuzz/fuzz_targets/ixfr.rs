//! A stream of messages as the reply to a transfer. Whatever comes, the bounds hold; what is accepted and sent
//! again is accepted as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transfer::{Assembled, Assembler, Kind, Limits, Request};
use wire::{Name, Rtype};
use zone::{Changes, RecordList, RecordRef, Zone};

const ID: u16 = 7;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[how, a, b, c, d], bytes)) = bytes.split_first_chunk::<5>() else { return };
    let kind = match how & 1 {
        0 => Kind::Axfr,
        _ => Kind::Ixfr(u32::from_be_bytes([a, b, c, d])),
    };
    let raw = how & 2 != 0;
    let request =
        Request { id: ID, zone: Name::from_text("z.").unwrap_or_else(|_| Name::root()), kind };
    let limits = Limits { records: 64, octets: 1 << 14, ..Limits::default() };
    let mut assembler = Assembler::new(request.clone(), &limits, 0);
    let mut rest = bytes;
    let mut ended = false;
    while let Some((&[high, low, count], after)) = rest.split_first_chunk::<3>() {
        let (part, after) =
            after.split_at(usize::from(u16::from_be_bytes([high, low])).min(after.len()));
        rest = after;
        // Either a message as it comes, or a header that fits and records as they come.
        let message = if raw { part.to_vec() } else { message(kind, count.into(), part) };
        match assembler.take(&message) {
            Ok(end) => ended = end,
            Err(_) => return,
        }
        let tally = assembler.tally();
        assert!(tally.records <= limits.records && tally.expanded <= limits.octets);
        assert!(tally.received <= limits.octets);
        if ended {
            break;
        }
    }
    let assembled = assembler.finish();
    assert_eq!(assembled.is_some(), ended, "nothing is handed out before the end");
    match assembled {
        Some(Assembled::Zone(builder)) => {
            let Ok(zone) = builder.finish() else { return };
            again(&request, &zone);
        }
        Some(Assembled::Changes(changes)) => changed(&request, &changes),
        Some(Assembled::Current(_)) | None => {}
    }
});

/// A message with a header and a question that fit.
fn message(kind: Kind, count: u16, records: &[u8]) -> Vec<u8> {
    let qtype = if kind == Kind::Axfr { Rtype::AXFR } else { Rtype::IXFR };
    let mut message = Vec::new();
    for word in [ID, 0x8400, 1, count, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend_from_slice(b"\x01z\x00");
    message.extend_from_slice(&[qtype.0.to_be_bytes(), [0, 1]].concat());
    message.extend_from_slice(records);
    message
}

/// Sends records, one a message, and returns what they amount to.
fn send<'r>(request: &Request, records: impl Iterator<Item = RecordRef<'r>>) -> Assembled {
    let mut assembler = Assembler::new(request.clone(), &Limits::default(), 0);
    let mut ended = false;
    for record in records {
        assert!(!ended, "it ends with the last record");
        let mut one = RecordList::default();
        one.push(record);
        ended =
            assembler.take(&message(request.kind, 1, one.as_wire())).expect("was accepted before");
    }
    assert!(ended, "it ends");
    assembler.finish().expect("it ended")
}

fn again(request: &Request, zone: &Zone) {
    let list = records_of(zone);
    let soa = list.iter().take(1);
    let Assembled::Zone(builder) = send(request, list.iter().chain(soa)) else {
        panic!("a zone is a zone")
    };
    let again = builder.finish().expect("was a zone before");
    assert_eq!(records_of(&again), list);
}

fn records_of(zone: &Zone) -> RecordList {
    let mut list = RecordList::default();
    let mut records = zone.records();
    while let Some(record) = records.next_record() {
        list.push(record);
    }
    list
}

fn changed(request: &Request, changes: &[Changes]) {
    let newest = changes.last().expect("changes are some").added();
    let soa = || newest.iter().take(1);
    let middle = changes.iter().flat_map(|one| one.removed().iter().chain(one.added().iter()));
    let Assembled::Changes(again) = send(request, soa().chain(middle).chain(soa())) else {
        panic!("changes are changes")
    };
    assert_eq!(again, changes);
    let steps = changes.iter().map(|one| (one.from_serial(), one.to_serial()));
    let mut from = match request.kind {
        Kind::Ixfr(ours) => Some(ours),
        _ => None,
    };
    for (begins, ends) in steps {
        assert_eq!(begins, from, "they chain");
        from = ends;
    }
}
