//! Properties of zones as text: what is written reads back, and is written again as it was.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod master_kit;

use catena_zone::master::{Options, parse_text, record_from_line};
use catena_zone::text::{record_line, write_zone};
use catena_zone::{Lister, Listing};
use master_kit::{name, origin, rdata};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{Name, Rtype};

fn listing(text: &str, origin: &Name) -> Listing {
    let mut lister = Lister::new();
    let read = parse_text(text, &Options::new(origin), &mut |record| lister.add(record));
    assert!(read.is_ok(), "{read:?} of {text}");
    lister.list()
}

fn written(listing: &Listing, origin: &Name) -> String {
    let mut out = Vec::new();
    write_zone(listing, origin, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The records in a form in which order and the case of owners do not matter.
fn records(listing: &Listing) -> Vec<(Vec<u8>, Rtype, u32, Vec<u8>)> {
    let mut all: Vec<_> = listing
        .records()
        .map(|listed| {
            let owner = listed.record.owner.to_ascii_lowercase();
            (owner, listed.record.rtype, listed.record.ttl, listed.record.rdata.to_vec())
        })
        .collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_line_reads_back_as_its_record(
        owner in name(), (rtype, text) in rdata(), ttl in 0..0x8000_0000u32,
    ) {
        let line = format!("{owner} {ttl} IN {rtype} {text}");
        let record = record_from_line(&line, &origin(), 60).unwrap();
        let shown = record_line(record.as_ref());
        prop_assert_eq!(record_from_line(&shown, &Name::root(), 60).unwrap(), record, "{}", shown);
    }

    #[test]
    fn a_zone_reads_back_and_is_written_as_it_was(
        lines in vec((name(), rdata(), prop_oneof![Just(60u32), Just(3600), any::<u16>().prop_map(u32::from)]), 1..30),
        at_root in any::<bool>(),
    ) {
        let origin = if at_root { Name::root() } else { origin() };
        let mut text: String = lines
            .iter()
            .map(|(owner, (rtype, text), ttl)| format!("{owner} {ttl} {rtype} {text}\n"))
            .collect();
        text.push_str("@ 300 SOA a\\ b c 1 86400 61 0 604800\n");
        let first = listing(&text, &origin);
        let shown = written(&first, &origin);
        let second = listing(&shown, &origin);
        let mut wanted = records(&first);
        wanted.dedup();
        // A record that comes twice in two spellings is written once.
        let count = second.len();
        let mut got = records(&second);
        got.dedup();
        prop_assert!(got.iter().all(|record| wanted.contains(record)), "{}", shown);
        let once = |listing: &Listing| {
            let mut all: Vec<_> = listing
                .records()
                .map(|l| (l.record.owner.to_ascii_lowercase(), l.record.rtype, l.record.ttl, l.canonical.to_vec()))
                .collect();
            all.dedup();
            all
        };
        prop_assert_eq!(once(&first), once(&second), "{}", shown);
        prop_assert_eq!(count, once(&second).len());
        prop_assert_eq!(written(&second, &origin), shown);
    }
}

#[test]
fn a_zone_is_written_in_columns() {
    let text = "\
$TTL 300
www 60 AAAA 2001:db8::1
www 60 A 192.0.2.1
a-name-that-is-longer-than-the-column-of-the-owners TXT \"a b\"
@ SOA ns1 host\\.master.example.net. 7 7200 3600 1209600 3601
mail MX 10 www
@ NS ns1
WWW 60 A 192.0.2.1
elsewhere.example.net. A 192.0.2.3
ns1 3600 A 192.0.2.2
";
    let shown = "\
$ORIGIN example.org.
$TTL 300
@                           IN SOA  ns1.example.org. host\\.master.example.net. (
                7            ; serial
                7200         ; refresh, 2 hours
                3600         ; retry, 1 hour
                1209600      ; expire, 2 weeks
                3601 )       ; minimum
elsewhere.example.net.      IN A    192.0.2.3
@                           IN NS   ns1.example.org.
a-name-that-is-longer-than-the-column-of-the-owners      IN TXT  \"a b\"
mail                        IN MX   10 www.example.org.
ns1                    3600 IN A    192.0.2.2
www                      60 IN A    192.0.2.1
www                      60 IN AAAA 2001:db8::1
";
    let origin = origin();
    assert_eq!(written(&listing(text, &origin), &origin), shown);
}
