//! An upstream's message, loaded and edited: the records must stay those that hickory-proto sees.
#![no_main]

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable;
use libfuzzer_sys::fuzz_target;
use wire::Request;
use wire::{HEADER, Reply, Rtype, Section, rdata};

fuzz_target!(|message: &[u8]| {
    let Some(end) = wire::Message::new(message).ok().and_then(|view| view.questions_end().ok())
    else {
        return;
    };
    let asked = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &message[HEADER..end]].concat();
    let mut query = Request::new();
    if query.receive(&asked).is_err() {
        return;
    }
    let mut reply = Reply::new();
    reply.begin(&query);
    let loaded = reply.load(message);
    if loaded.is_err() {
        assert_eq!(reply.len(), query.question_end(), "a refused message changes nothing");
        return;
    }
    let theirs = Message::from_bytes(message).ok().map(|message| sections(&message));
    let same = |reply: &mut Reply, what: &str| {
        let (Some(theirs), Some(ours)) = (&theirs, decode(reply)) else { return };
        assert_eq!(&ours, theirs, "{what}");
    };
    same(&mut reply, "loaded");
    reply.edit_ttls(|_, ttl| ttl);
    reply.rearrange(|_, _| ());
    same(&mut reply, "rearranged");
    let records = reply.records().count();
    reply.rearrange(|_, items| items.reverse());
    assert_eq!(reply.records().filter_map(Result::ok).count(), records, "reversed");
    let limit = reply.question_end() + usize::from(message[0]) * 4;
    let before = reply.len();
    reply.truncate_to(limit);
    assert!(reply.len() <= limit && reply.truncated == (reply.truncated || before > limit));
    reply.drop_section(Section::Authority);
    assert_eq!(reply.count(Section::Authority), 0);
    assert!(reply.records().all(|record| record.is_ok()), "still readable");
});

fn decode(reply: &mut Reply) -> Option<[Vec<String>; 3]> {
    reply.seal(7, 0x8000);
    Message::from_bytes(reply.bytes()).ok().map(|message| sections(&message))
}

/// Records as text; OPT and TSIG live elsewhere on both sides, ANAME (65305) is opaque to us. Of types whose names we expand and
/// hickory does not know (DNAME), the RDATA is left out.
fn sections(message: &Message) -> [Vec<String>; 3] {
    let text = |record: &Record| {
        let rtype = record.record_type();
        let names = rdata::layout(Rtype(rtype.into())).is_some();
        let data = match &record.data {
            RData::Unknown { .. } if names => String::new(),
            data => format!("{data:?}").to_lowercase(),
        };
        let owner = record.name.to_lowercase();
        format!("{owner:?} {} {:?} {rtype:?} {data}", record.ttl, record.dns_class)
    };
    let elsewhere = |kind| matches!(kind, RecordType::OPT | RecordType::TSIG | RecordType::ANAME);
    [&message.answers, &message.authorities, &message.additionals].map(|records| {
        let kept = records.iter().filter(|record| !elsewhere(record.record_type()));
        kept.map(text).collect()
    })
}
