//! Master files: named and nsd read every type as we do, and read what we write.

use std::collections::BTreeSet;

use wire::{Name, Rtype};
use zone::Lister;
use zone::master::{Options, parse_text, rdata_to_text};
use zone::text::write_zone;

use crate::kit::Scratch;
use crate::peer::run;

const TYPES: &str = include_str!("types.zone");

/// Types that nsd does not know by name, in the version that Debian 12 has.
const UNKNOWN_TO_NSD: [&str; 14] = [
    "NSAP-PTR", "GPOS", "EID", "NIMLOC", "HIP", "NINFO", "RKEY", "TALINK", "DSYNC", "DOA",
    "AMTRELAY", "RESINFO", "WALLET", "TA",
];

type Records = BTreeSet<(String, u32, String, Vec<u8>)>;

fn read(text: &str) -> (Records, String) {
    let origin = Name::from_text("example.org.").unwrap();
    let (mut records, mut lister) = (Records::new(), Lister::new());
    parse_text(text, &Options::new(&origin), &mut |record| {
        let owner = Name::from_wire(record.owner).unwrap().to_lower().to_string();
        records.insert((owner, record.ttl, record.rtype.to_string(), record.rdata.to_vec()));
        lister.add(record)
    })
    .unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut out = Vec::new();
    write_zone(&lister.list(), &origin, &mut out).unwrap();
    (records, String::from_utf8(out).unwrap())
}

fn named(text: &str) -> String {
    let scratch = Scratch::new();
    scratch.write("zone", text);
    let lenient = ["-i", "none", "-k", "ignore", "-n", "ignore", "-m", "ignore", "-r", "ignore"];
    let more =
        ["-M", "ignore", "-S", "ignore", "-W", "ignore", "-q", "-o", "out", "example.org", "zone"];
    run("named-compilezone", "bind9", scratch.path(), &[&lenient[..], &more].concat());
    std::fs::read_to_string(scratch.path().join("out")).unwrap()
}

fn nsd(text: &str) -> String {
    let scratch = Scratch::new();
    scratch.write("zone", text);
    run("nsd-checkzone", "nsd", scratch.path(), &["-p", "example.org", "zone"])
}

fn agree(text: &str, peer: fn(&str) -> String) {
    let (records, written) = read(text);
    let differences = |theirs: &Records| {
        let show = |(owner, ttl, rtype, rdata): &(String, u32, String, Vec<u8>)| {
            let text = rdata_to_text(Rtype::from_text(rtype).unwrap(), rdata);
            format!("{owner} {ttl} {rtype} {text}")
        };
        let ours: Vec<String> = records.difference(theirs).map(show).collect();
        let other: Vec<String> = theirs.difference(&records).map(show).collect();
        format!("only ours: {ours:#?}, only theirs: {other:#?}")
    };
    for text in [text, &written] {
        let (theirs, _) = read(&peer(text));
        assert_eq!(records, theirs, "{}", differences(&theirs));
    }
}

#[test]
fn named_reads_each_type_as_we_do() {
    let types: BTreeSet<String> = read(TYPES).0.into_iter().map(|record| record.2).collect();
    assert!(types.len() >= 74, "{types:?}");
    agree(TYPES, named);
}

#[test]
fn nsd_reads_the_types_that_it_knows_as_we_do() {
    let known = |line: &&str| {
        !line.split_whitespace().nth(1).is_some_and(|rtype| UNKNOWN_TO_NSD.contains(&rtype))
    };
    let text: String = TYPES.lines().filter(known).map(|line| format!("{line}\n")).collect();
    agree(&text, nsd);
}
