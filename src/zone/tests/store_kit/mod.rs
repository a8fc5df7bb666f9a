//! What the tests of the store share: zones from text, queries from names, replies as lists.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "helpers of tests")]

use catena_zone::{Builder, Outcome, Zone, master};
use wire::name::NameBuf;
use wire::{Class, Name, Rcode, Reply, Request, Rtype, Section, rdata};

/// Owner (lower case), type, TTL, RDATA (names lower case).
pub type Record = (String, Rtype, u32, Vec<u8>);

pub struct Answer {
    pub outcome: Outcome,
    pub rcode: Rcode,
    pub aa: bool,
    pub sections: [Vec<Record>; 3],
}

pub fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

/// Loads a zone; records outside of it are left out.
pub fn load(origin: &str, text: &str) -> Result<Zone, Vec<String>> {
    let origin = name(origin);
    let mut builder = Builder::new(&origin, text.len() as u64);
    let options = master::Options::new(&origin);
    master::parse_text(text, &options, &mut |record| {
        let _ = builder.add(record);
        Ok(())
    })
    .map_err(|errors| errors.iter().map(|error| format!("{error:?}")).collect::<Vec<_>>())?;
    let words = |unfit: Vec<catena_zone::Unfit>| unfit.iter().map(ToString::to_string).collect();
    builder.finish().map_err(words)
}

pub fn query(qname: &Name, qtype: Rtype, dnssec: bool) -> Request {
    let mut bytes = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(dnssec)];
    bytes.extend_from_slice(qname.as_wire());
    bytes.extend_from_slice(&qtype.0.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    if dnssec {
        bytes.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0]);
    }
    let mut query = Request::new();
    query.receive(&bytes).unwrap();
    query
}

pub fn ask(zone: &Zone, qname: &Name, qtype: Rtype, dnssec: bool) -> Answer {
    let query = query(qname, qtype, dnssec);
    let mut reply = Reply::new();
    reply.begin(&query);
    let outcome = zone.answer(&query, &mut reply);
    if let Outcome::External { .. } = outcome {
        zone.push_authority(&query, &mut reply);
    }
    let mut rcode = reply.rcode();
    if let Outcome::ServFail(_) = outcome {
        rcode = Rcode::SERVFAIL;
        reply.clear();
    }
    Answer { rcode, aa: reply.authoritative(), sections: sections(&reply), outcome }
}

/// The records of a reply; also checks that its plain length is right.
pub fn sections(reply: &Reply) -> [Vec<Record>; 3] {
    let mut out = [Vec::new(), Vec::new(), Vec::new()];
    let mut plain = reply.question_end();
    let mut owner = NameBuf::new();
    for record in reply.records() {
        let record = record.unwrap();
        record.owner(&mut owner).unwrap();
        let mut data = Vec::new();
        rdata::expand(record.rtype, reply.bytes(), record.rdata_at, record.end, &mut data).unwrap();
        plain += owner.as_wire().len() + 10 + data.len();
        let section = match record.section {
            Section::Answer => 0,
            Section::Authority => 1,
            Section::Additional => 2,
        };
        let owner = owner.to_name().to_lower().to_string();
        out[section].push((owner, record.rtype, record.ttl, fold(record.rtype, data)));
    }
    assert_eq!(plain as u32, reply.plain_len(), "plain length");
    out
}

/// Lower-cases the names in plain RDATA.
pub fn fold(rtype: Rtype, mut data: Vec<u8>) -> Vec<u8> {
    if let Some(layout) = rdata::layout(rtype)
        && let Ok(mut at) = layout.first_name(&data, 0, data.len())
    {
        for _ in 0..layout.names {
            let Some(len) = wire::name::wire_len(&data[at..]) else {
                break;
            };
            data[at..at + len].make_ascii_lowercase();
            at += len;
        }
    }
    data
}

/// A record from a line of text; where the text says `*`, anything goes (see [`same`]).
pub fn record(line: &str) -> Record {
    let words: Vec<&str> = line.split(' ').collect();
    if words[4..].iter().any(|word| matches!(*word, "*" | "**")) {
        let rtype = Rtype::from_text(words[3]).unwrap();
        let covered = Rtype::from_text(words[4]).filter(|_| rtype == Rtype::RRSIG);
        let data = covered.map_or_else(Vec::new, |covered| covered.0.to_be_bytes().to_vec());
        return (words[0].to_lowercase(), rtype, 0, data);
    }
    let record = master::record_from_line(line, &Name::root(), 0)
        .unwrap_or_else(|error| panic!("{line}: {error:?}"));
    assert_eq!(record.class, Class::IN);
    let data = fold(record.rtype, record.rdata);
    (record.owner.to_lower().to_string(), record.rtype, record.ttl, data)
}

pub fn show(records: &[Record]) -> Vec<String> {
    let mut lines: Vec<String> = records
        .iter()
        .map(|(owner, rtype, ttl, data)| {
            format!("{owner} {ttl} {rtype} {}", master::rdata_to_text(*rtype, data))
        })
        .collect();
    lines.sort();
    lines
}

/// Whether two lists hold the same records in any order; TTLs count only if asked.
pub fn same(a: &[Record], b: &[Record], ttls: bool) -> bool {
    // Marks of `record`: signatures by type covered, other types by owner alone.
    let shortest = |of: Rtype| {
        let lens = a.iter().chain(b).filter(|record| record.1 == of).map(|record| record.3.len());
        match lens.min() {
            Some(0) => 0,
            Some(2) if of == Rtype::RRSIG => 2,
            _ => usize::MAX,
        }
    };
    let key = |list: &[Record]| {
        let mut keys: Vec<_> = list
            .iter()
            .map(|(owner, rtype, ttl, data)| {
                let data = &data[..data.len().min(shortest(*rtype))];
                (owner.clone(), *rtype, if ttls { *ttl } else { 0 }, data.to_vec())
            })
            .collect();
        keys.sort();
        keys
    };
    key(a) == key(b)
}
