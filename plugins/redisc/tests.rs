//! Keys and values: a value that was written can be read, and nothing else is accepted.

use exchange::Query;
use proptest::prelude::*;
use wire::answer::Answer;
use wire::{Name, NewRecord, Rcode, Rdata, Reply, Rtype, Section, name};

use super::entry;

const NOW: u64 = 1_700_000_000_000;
const LONGEST: u32 = 3600;

/// A client's question with the DO and CD bits as given.
fn question(name: &str, qtype: Rtype, dnssec: bool, checking: bool) -> (Query, Reply) {
    let mut bytes = vec![0x12, 0x34, 1, u8::from(!checking) << 4, 0, 1, 0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(Name::from_text(name).unwrap().as_wire());
    bytes.extend_from_slice(&qtype.0.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, u8::from(dnssec) << 7, 0, 0, 0]);
    let (mut query, mut reply) = (Query::new(), Reply::new());
    query.receive(&bytes).unwrap();
    reply.begin(&query);
    (query, reply)
}

const SOA: Rdata<'_> = Rdata::Soa {
    mname: name!("ns.example.org."),
    rname: name!("mail.example.org."),
    serial: 1,
    refresh: 0,
    retry: 0,
    expire: 0,
    minimum: 0,
};

/// `www.example.org. A` with an answer, or denied.
fn answered(rcode: Rcode) -> (Query, Reply) {
    let (query, mut reply) = question("www.example.org.", Rtype::A, false, true);
    reply.set_rcode(rcode);
    reply.recursion_available = true;
    reply.foreign = true;
    if rcode == Rcode::NXDOMAIN {
        reply.push(Section::Authority, NewRecord::new(name!("example.org."), 60, SOA));
    } else {
        reply.answer(60, Rdata::A([192, 0, 2, 1].into()));
    }
    (query, reply)
}

/// What `value` says to a client, with the TTL of its first record.
fn told(value: &[u8], unix: u64, query: &Query) -> Option<(Rcode, u32)> {
    let mut reply = Reply::new();
    reply.begin(query);
    match entry::load_value(value, unix, LONGEST, query, &mut reply) {
        Ok(true) => Some((reply.rcode(), reply.records().next().unwrap().unwrap().ttl)),
        Ok(false) => None,
        Err(_) => {
            assert!(!reply.is_written(), "nothing is left of what is refused");
            None
        }
    }
}

#[test]
fn a_value_holds_until_a_moment() {
    for rcode in [Rcode::NOERROR, Rcode::NXDOMAIN] {
        let (query, reply) = answered(rcode);
        let value = entry::encode(&reply, NOW, 60);
        let at = |unix| told(&value, unix, &query);
        assert_eq!(at(NOW), Some((rcode, 60)));
        assert_eq!(at(NOW + 59_000), Some((rcode, 1)));
        assert_eq!(at(NOW + 59_400), Some((rcode, 1)));
        assert_eq!(at(NOW + 59_600), None);
        assert_eq!(at(NOW + 100_000_000), None);
        assert_eq!(
            at(NOW - 100_000),
            Some((rcode, 60)),
            "another's clock is ahead: no longer than it was"
        );
    }
    let (query, reply) = answered(Rcode::NOERROR);
    let value = entry::encode(&reply, NOW, 2_000_000);
    assert_eq!(told(&value, NOW, &query), Some((Rcode::NOERROR, LONGEST)), "whatever others keep");
}

#[test]
fn who_renews_gets_only_what_is_younger() {
    let (mut query, reply) = answered(Rcode::NOERROR);
    let value = entry::encode(&reply, NOW, 60);
    query.state.refresh = true;
    assert_eq!(told(&value, NOW + 29_000, &query), Some((Rcode::NOERROR, 31)));
    assert_eq!(told(&value, NOW + 30_000, &query), None);
}

#[test]
fn flags_are_kept_and_words_of_others_are_not_ours() {
    let (query, mut reply) = answered(Rcode::NOERROR);
    reply.set_authoritative(true);
    reply.authentic_data = true;
    let load = |value: &[u8], query: &Query| {
        let mut reply = Reply::new();
        reply.begin(query);
        assert_eq!(entry::load_value(value, NOW, LONGEST, query, &mut reply), Ok(true));
        (reply.authoritative(), reply.recursion_available, reply.authentic_data, reply.foreign)
    };
    let foreign = entry::encode(&reply, NOW, 60);
    assert_eq!(load(&foreign, &query), (false, true, false, true), "AD is for those who ask");
    let (signed, _) = question("www.example.org.", Rtype::A, true, true);
    assert_eq!(load(&foreign, &signed), (false, true, true, true));
    reply.foreign = false;
    let own = entry::encode(&reply, NOW, 60);
    assert_eq!(load(&own, &query), (true, true, false, false));
}

#[test]
fn keys_name_the_question_in_full() {
    let key = |name, qtype, dnssec, checking| {
        let (query, _) = question(name, qtype, dnssec, checking);
        String::from_utf8(entry::key("g", &query)).unwrap()
    };
    let plain = key("WWW.Example.org.", Rtype::A, false, true);
    assert_eq!(plain, "catena:1:g:0:1:1:www.example.org.");
    assert_eq!(key("www.example.org.", Rtype::A, true, true), "catena:1:g:1:1:1:www.example.org.");
    assert_eq!(
        key("www.example.org.", Rtype::A, false, false),
        "catena:1:g:2:1:1:www.example.org."
    );
    assert_eq!(key(".", Rtype::NS, true, false), "catena:1:g:3:1:2:.");
    // A colon or a dot in a label is no end of it.
    assert_eq!(key(r"a\.b:c.", Rtype::A, false, true), r"catena:1:g:0:1:1:a\.b:c.");
}

#[test]
fn a_value_for_another_question_is_refused() {
    let (_, reply) = answered(Rcode::NOERROR);
    let value = entry::encode(&reply, NOW, 60);
    for (name, qtype) in
        [("xww.example.org.", Rtype::A), ("www.example.org.", Rtype::AAAA), (".", Rtype::A)]
    {
        let (other, _) = question(name, qtype, false, true);
        assert_eq!(told(&value, NOW, &other), None, "{name} {qtype:?}");
    }
    let (case, _) = question("WwW.eXample.org.", Rtype::A, false, true);
    assert!(told(&value, NOW, &case).is_some());
}

#[test]
fn what_no_server_of_ours_writes_is_refused() {
    let (query, reply) = answered(Rcode::NOERROR);
    let value = entry::encode(&reply, NOW, 60);
    let with = |at: usize, byte: u8| {
        let mut bytes = value.clone();
        bytes[at] = byte;
        told(&bytes, NOW, &query)
    };
    assert!(with(0, 1).is_some(), "unchanged");
    assert_eq!(with(0, 2), None, "another form");
    assert_eq!(with(15, 0x00), None, "a query");
    assert_eq!(with(15, 0x82), None, "truncated");
    assert_eq!(with(15, 0x88), None, "another opcode");
    assert_eq!(with(16, 0x80 | 2), None, "a failure");
    assert_eq!(with(16, 0x80 | 3), None, "NXDOMAIN with an answer");
    assert_eq!(with(18, 2), None, "two questions");
    assert_eq!(with(20, 0), None, "an answer less than it has");
    assert_eq!(with(20, 2), None, "an answer more than it has");
    for cut in 0..value.len() {
        assert_eq!(told(&value[..cut], NOW, &query), None, "cut at {cut}");
    }
    let opt = [&value[..23], &[0, 1], &value[25..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(told(&opt, NOW, &query), None, "with an OPT record");
    // An answer to something else in the right message.
    let (other, mut reply) = question("www.example.org.", Rtype::A, false, true);
    let address = Rdata::A([192, 0, 2, 66].into());
    reply.push(Section::Answer, NewRecord::new(name!("evil.example."), 60, address));
    reply.set_rcode(Rcode::NOERROR);
    assert_eq!(told(&entry::encode(&reply, NOW, 60), NOW, &other), None);
}

proptest! {
    #[test]
    fn no_bytes_from_redis_do_harm(bytes: Vec<u8>) {
        let (query, mut reply) = question("www.example.org.", Rtype::A, true, false);
        if entry::load_value(&bytes, NOW, LONGEST, &query, &mut reply) == Ok(true) {
            prop_assert!(reply.records().all(|record| record.is_ok()));
        }
    }

    /// One octet of a good value is another: it is refused, or what is told is still an answer to
    /// the question, for no longer than anything may be kept.
    #[test]
    fn a_spoiled_value_is_refused_or_still_an_answer(at in 0usize..200, byte: u8, denied: bool) {
        let (query, reply) = answered(if denied { Rcode::NXDOMAIN } else { Rcode::NOERROR });
        let mut value = entry::encode(&reply, NOW, 60);
        let at = at % value.len();
        value[at] = byte;
        let mut reply = Reply::new();
        reply.begin(&query);
        if entry::load_value(&value, NOW, LONGEST, &query, &mut reply) == Ok(true) {
            prop_assert!(!reply.truncated);
            prop_assert!(reply.records().all(|record| record.unwrap().ttl <= LONGEST));
            prop_assert!(Answer::of(&query, &reply, || NOW / 1000).unwrap().is_lasting());
        }
    }
}
