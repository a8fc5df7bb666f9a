//! A query: what `Request` makes of bytes must be what hickory-proto makes of them.
#![no_main]

use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use libfuzzer_sys::fuzz_target;
use wire::Request;
use wire::hash;

fuzz_target!(|bytes: &[u8]| {
    let mut query = Request::new();
    let started = Instant::now();
    let received = query.receive(bytes);
    assert!(started.elapsed() < Duration::from_millis(100), "bounded time");
    if received.is_err() {
        return;
    }
    for label in 0..=query.labels() {
        assert_eq!(query.suffix_hash(label), hash::name(query.suffix(label)));
    }
    // hickory also reads the RDATA of records that we only pass over, so it refuses more.
    let Ok(theirs) = Message::from_bytes(query.bytes()) else { return };
    let [asked] = theirs.queries.as_slice() else { panic!("one question") };
    assert_eq!(asked.name.to_bytes().expect("a name"), query.original_name());
    assert_eq!(u16::from(asked.query_type), query.qtype().0);
    assert_eq!(query.name(), query.original_name().to_ascii_lowercase());
    assert_eq!(theirs.metadata.id, query.id());
    assert_eq!(theirs.metadata.recursion_desired, query.recursion_desired());
    match (&theirs.edns, query.edns()) {
        (None, None) => assert_eq!(u16::from(asked.query_class), query.qclass().0),
        (Some(theirs), Some(ours)) => {
            assert_eq!(theirs.max_payload(), query.udp_size());
            assert_eq!(theirs.version(), ours.version);
            assert_eq!(theirs.flags().dnssec_ok, query.wants_dnssec());
        }
        (theirs, ours) => panic!("EDNS: hickory {theirs:?}, ours {ours:?}"),
    }
});
