//! A feed: whatever batches led there, its zones are those of a feed that is loaded with what its owners say
//! in the end.
#![no_main]

use std::collections::BTreeMap;

use feed::{Feed, Limits, Origin, Source};
use libfuzzer_sys::fuzz_target;
use wire::{Name, NewRecord, Rdata, Rtype};

const NAMES: [&[u8]; 8] = [
    b"\x01z\0",
    b"\x01a\x01z\0",
    b"\x05_http\x04_tcp\x01a\x01z\0",
    b"\x081-2-3-40\x01a\x01z\0",
    b"\x01s\x01z\0",
    b"\x01h\x01s\x01z\0",
    b"\x0240\x013\x012\x011\x07in-addr\x04arpa\0",
    b"\x05other\0",
];
const TYPES: [Rtype; 10] = [
    Rtype::A,
    Rtype::AAAA,
    Rtype::CNAME,
    Rtype::PTR,
    Rtype::SRV,
    Rtype::TXT,
    Rtype::SOA,
    Rtype::NS,
    Rtype::DNAME,
    Rtype(65_400),
];

/// Names, TTLs, types and RDATA.
type Records = Vec<(usize, u32, Rtype, Vec<u8>)>;
/// A record of a zone, and its RDATA.
type Shown = (Name, Rtype, u32, Vec<u8>);

fuzz_target!(|bytes: &[u8]| {
    let (feed, sources) = empty();
    let mut owners: BTreeMap<(usize, u8), Records> = BTreeMap::new();
    feed.begin().commit(0).expect("an empty batch");
    let mut rest = bytes;
    let mut now = 0;
    while !rest.is_empty() {
        let mut batch = feed.begin();
        let mut next = owners.clone();
        for _ in 0..take(&mut rest) % 4 {
            let (source, key) = (usize::from(take(&mut rest) % 2), take(&mut rest) % 5);
            match take(&mut rest) % 8 {
                0 => {
                    batch.list(sources[source]);
                    next.retain(|owner, _| owner.0 != source);
                }
                1 => {
                    batch.remove(sources[source].owner(&[key])).expect("within the limits");
                    next.remove(&(source, key));
                }
                _ => {
                    let said = records(&mut rest);
                    upsert(&mut batch, sources[source], key, &said);
                    next.insert((source, key), said);
                }
            }
        }
        if take(&mut rest) % 8 > 0 {
            now += 1;
            batch.commit(now).expect("within the limits");
            owners = next;
        }
    }
    let (other, sources) = empty();
    let mut batch = other.begin();
    for ((source, key), said) in owners.iter().rev() {
        upsert(&mut batch, sources[*source], *key, said);
    }
    batch.commit(0).expect("within the limits");
    assert_eq!(shown(&feed), shown(&other));
    let (left, right) = (feed.usage(), other.usage());
    assert_eq!(
        (left.owners, left.names, left.records, left.left_out),
        (right.owners, right.names, right.records, right.left_out)
    );
});

fn empty() -> (Feed, [Source; 2]) {
    let zones = [&b"\x01z\0"[..], b"\x01s\x01z\0", b"\x07in-addr\x04arpa\0"];
    let origin = |zone: &[u8]| Origin::new(&Name::from_wire(zone).expect("a name"), 1);
    let feed = Feed::new(zones.into_iter().map(origin).collect(), Limits::default());
    let sources = [feed.source(), feed.source()];
    (feed, sources)
}

fn take(rest: &mut &[u8]) -> u8 {
    let Some((&first, after)) = rest.split_first() else { return 0 };
    *rest = after;
    first
}

fn records(rest: &mut &[u8]) -> Records {
    let one = |rest: &mut &[u8]| {
        let name = usize::from(take(rest)) % NAMES.len();
        let ttl = u32::from(take(rest) % 3);
        let rtype = TYPES[usize::from(take(rest)) % TYPES.len()];
        let value = take(rest);
        let target = NAMES[usize::from(value) % NAMES.len()];
        let rdata = match rtype {
            Rtype::A => vec![value % 3; 4],
            Rtype::AAAA => vec![value % 3; 16],
            Rtype::SRV => [&[0, 0, 0, 0, 0, value % 2], target].concat(),
            Rtype::TXT => vec![1, value],
            Rtype::SOA => [target, target, &[value % 3; 20]].concat(),
            Rtype(65_400) => rest.iter().take(usize::from(value % 5)).copied().collect(),
            _ => target.to_vec(),
        };
        (name, ttl, rtype, rdata)
    };
    (0..take(rest) % 5).map(|_| one(rest)).collect()
}

fn upsert(batch: &mut feed::Batch<'_>, source: Source, key: u8, said: &Records) {
    let records = said.iter().map(|(name, ttl, rtype, rdata)| {
        NewRecord::new(NAMES[*name], *ttl, Rdata::Other(*rtype, rdata))
    });
    batch.upsert(source.owner(&[key]), records).expect("within the limits");
}

fn shown(feed: &Feed) -> Vec<Shown> {
    let mut all = Vec::new();
    for live in feed.zones().all() {
        let zone = live.zone_to_keep().expect("a version");
        let mut records = zone.records();
        while let Some(record) = records.next_record() {
            let mut rdata = record.rdata.to_vec();
            if record.rtype == Rtype::SOA {
                // The serial tells how often the zone changed.
                let at = rdata.len() - 20;
                rdata[at..at + 4].fill(0);
            }
            let owner = Name::from_wire(record.owner).expect("a name");
            all.push((owner, record.rtype, record.ttl, rdata));
        }
    }
    all.sort();
    all
}
