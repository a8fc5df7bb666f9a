//! Zone digests: the vectors of RFC 8976 appendix A, and what is wrong with others.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use catena_zone::digest::{Algorithm, Fault, Verdict, verify, verify_listing, zonemd};
use catena_zone::master::{Options, parse_text};
use catena_zone::{Builder, Lister, Listing, Zone};
use wire::{Name, Rtype};

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

/// The text as a listing, which has all records, and as a zone, which has those of the zone.
fn load(text: &str, apex: &Name) -> (Listing, Zone) {
    let (mut lister, mut builder) = (Lister::new(), Builder::new(apex, 0));
    parse_text(text, &Options::new(apex), &mut |record| {
        let _ = builder.add(record);
        lister.add(record)
    })
    .unwrap();
    (lister.list(), builder.finish().unwrap())
}

fn vector(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zonemd").join(file);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn rfc_8976_appendix_a() {
    for (file, apex) in [
        ("simple.zone", "example."),
        ("complex.zone", "example."),
        ("multiple.zone", "example."),
        ("signed.zone", "uri.arpa."),
        ("root-servers.zone", "root-servers.net."),
    ] {
        let apex = name(apex);
        let (listing, zone) = load(&vector(file), &apex);
        let verified = Verdict::Verified(Algorithm::Sha384);
        assert_eq!(verify_listing(&listing, &apex), verified, "{file}");
        assert_eq!(verify(&zone), verified, "{file}");
    }
}

#[test]
fn both_algorithms_are_computed_as_the_rfc_has_them() {
    let apex = name("example.");
    let (listing, _) = load(&vector("multiple.zone"), &apex);
    let records = listing.name(apex.as_wire()).unwrap();
    let given: Vec<&[u8]> = records.of(Rtype::ZONEMD).map(|listed| listed.record.rdata).collect();
    for algorithm in [Algorithm::Sha384, Algorithm::Sha512] {
        let computed = zonemd(&listing, &apex, algorithm).unwrap();
        assert_eq!(computed.ttl, 86400);
        assert!(given.contains(&computed.rdata.as_slice()), "{algorithm:?}");
    }
}

#[test]
fn what_does_not_verify_says_why() {
    let apex = name("example.");
    let verdict = |from: &str, to: &str| {
        let text = vector("simple.zone").replacen(from, to, 1);
        let (listing, zone) = load(&text, &apex);
        let verdict = verify_listing(&listing, &apex);
        assert_eq!(verify(&zone), verdict);
        verdict
    };
    let failed = |fault| Verdict::Failed(vec![fault]);
    let differs = failed(Fault::Differs(Algorithm::Sha384));
    assert_eq!(verdict("203.0.113.63", "203.0.113.64"), differs);
    assert_eq!(verdict("3600   IN  A ", "3601   IN  A "), differs);
    assert_eq!(verdict("c68090d9", "c68090d8"), differs);
    assert_eq!(
        verdict("admin 2018031900", "admin 2018031901"),
        failed(Fault::Serial { digest: 2018031900, zone: 2018031901 })
    );
    assert_eq!(verdict("2018031900 1 1", "2018031900 2 1"), failed(Fault::Scheme(2)));
    assert_eq!(verdict("2018031900 1 1", "2018031900 1 9"), failed(Fault::Algorithm(9)));
    assert_eq!(verdict("777f98b8e730044c", ""), failed(Fault::Length(40)));
    assert_eq!(verdict("ZONEMD  2018031900 1 1", "TXT"), Verdict::Absent);
    assert!(Fault::Scheme(2).is_unknown() && !Fault::Length(2).is_unknown());

    // Two with the same scheme and algorithm: "…MUST NOT be used for verification".
    let twice = vector("simple.zone") + "example. 86400 ZONEMD 2018031900 1 1 " + &"00".repeat(48);
    let (listing, _) = load(&twice, &apex);
    let twice = Fault::Twice(Algorithm::Sha384);
    assert_eq!(verify_listing(&listing, &apex), Verdict::Failed(vec![twice, twice]));
}
