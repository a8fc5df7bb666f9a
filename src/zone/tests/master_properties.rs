//! Properties of the master-file reader: round trips, plain and dressed-up lines alike, and no
//! input that makes it panic or loop.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{self, Read};

use catena_zone::master::{
    MAX_ERRORS, NoIncludes, Options, OwnedRecord, ZoneError, parse_text, rdata_from_text,
    rdata_is_valid, rdata_to_text, read, record_from_line,
};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{Name, Rtype};

fn origin() -> Name {
    Name::from_text("example.org.").unwrap()
}

fn records(text: &str) -> Result<Vec<OwnedRecord>, Vec<ZoneError>> {
    let origin = origin();
    let mut found = Vec::new();
    parse_text(text, &Options::new(&origin), &mut |record| {
        found.push(OwnedRecord::from(record));
        Ok(())
    })?;
    Ok(found)
}

/// Hands out a few bytes at a time.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(self.1).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9_-]{1,12}", "[a-zA-Z]{1,63}", Just("a\\.b".into()), Just("\\007x".into())]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("@".into()),
        Just(".".into()),
        label(),
        vec(label(), 1..4).prop_map(|labels| labels.join(".")),
        vec(label(), 1..4).prop_map(|labels| labels.join(".") + "."),
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9=_]{1,40}",
        "[ -!#-\\[\\]-~]{0,60}".prop_map(|text| format!("\"{text}\"")),
        vec(any::<u8>(), 0..40).prop_map(|bytes| {
            let inside: String = bytes.iter().map(|byte| format!("\\{byte:03}")).collect();
            format!("\"{inside}\"")
        }),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digits(size: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec(any::<u8>(), size).prop_map(|bytes| hex(&bytes))
}

fn base64() -> impl Strategy<Value = String> {
    vec("[A-Za-z0-9+/]{4}", 1..20).prop_map(|groups| groups.concat())
}

fn types() -> impl Strategy<Value = String> {
    vec(any::<u16>(), 0..12).prop_map(|types| {
        types.iter().map(|&number| Rtype(number).to_string()).collect::<Vec<_>>().join(" ")
    })
}

/// A type and RDATA of it in presentation form.
fn rdata() -> impl Strategy<Value = (Rtype, String)> {
    let v4 = || any::<[u8; 4]>().prop_map(|octets| std::net::Ipv4Addr::from(octets).to_string());
    let v6 = || any::<[u8; 16]>().prop_map(|octets| std::net::Ipv6Addr::from(octets).to_string());
    let of = |rtype: Rtype| move |text: String| (rtype, text);
    let soa = (name(), name(), any::<u32>(), any::<[u16; 4]>());
    prop_oneof![
        v4().prop_map(of(Rtype::A)),
        v6().prop_map(of(Rtype::AAAA)),
        name().prop_map(of(Rtype::CNAME)),
        (any::<u16>(), name()).prop_map(|(p, n)| (Rtype::MX, format!("{p} {n}"))),
        (any::<[u16; 3]>(), name())
            .prop_map(|([a, b, c], n)| (Rtype::SRV, format!("{a} {b} {c} {n}"))),
        vec(string(), 1..5).prop_map(|strings| (Rtype::TXT, strings.join(" "))),
        soa.prop_map(|(m, r, serial, [a, b, c, d])| {
            (Rtype::SOA, format!("{m} {r} {serial} {a} {b} {c}m {d}"))
        }),
        (string(), string()).prop_map(|(a, b)| (Rtype::HINFO, format!("{a} {b}"))),
        (any::<u8>(), "[a-z]{1,20}", string())
            .prop_map(|(flags, tag, value)| (Rtype::CAA, format!("{flags} {tag} {value}"))),
        (any::<u16>(), any::<[u8; 2]>(), digits(1..50))
            .prop_map(|(tag, [a, d], hex)| (Rtype::DS, format!("{tag} {a} {d} {hex}"))),
        (any::<u16>(), any::<[u8; 2]>(), base64())
            .prop_map(|(flags, [p, a], key)| (Rtype::DNSKEY, format!("{flags} {p} {a} {key}"))),
        (name(), types()).prop_map(|(next, types)| (Rtype::NSEC, format!("{next} {types}"))),
        (any::<u16>(), digits(1..20), "([0-9A-V]{8}){1,4}", types()).prop_map(
            |(iterations, salt, next, types)| {
                (Rtype::NSEC3, format!("1 0 {iterations} {salt} {next} {types}"))
            }
        ),
        (any::<[u32; 4]>(), any::<[u8; 2]>(), any::<[u16; 2]>(), name(), base64()).prop_map(
            |([ttl, from, to, _], [alg, labels], [covered, tag], signer, key)| {
                // Meta types have no records to sign.
                let covered = Rtype(covered | 0x100);
                (
                    Rtype::RRSIG,
                    format!("{covered} {alg} {labels} {ttl} {to} {from} {tag} {signer} {key}"),
                )
            }
        ),
        (0..90u32, 0..60u32, 0..60_000u32, 0..180u32, -100_000i32..40_000_000).prop_map(
            |(degrees, minutes, seconds, east, altitude)| {
                let seconds = f64::from(seconds) / 1000.0;
                (
                    Rtype::LOC,
                    format!("{degrees} {minutes} {seconds:.3} S {east} E {altitude}m 30m 2000 1m"),
                )
            }
        ),
        (v4(), 0..=32u8, v6(), 0..=128u8)
            .prop_map(|(a, p, b, q)| (Rtype::APL, format!("1:{a}/{p} !2:{b}/{q}"))),
        (name(), any::<u16>(), "[a-z,]{1,10}", v4(), v6(), base64(), any::<u16>()).prop_map(
            |(target, port, path, a, b, ech, key)| {
                (
                    Rtype::HTTPS,
                    format!(
                        "1 {target} port={port} alpn=h2,h3 dohpath=\"/{path}{{?dns}}\" ipv4hint={a},{a} \
                         ipv6hint={b} ech={ech} key{}=\"a b\" mandatory=port,alpn \
                         tls-supported-groups=29,{port} docpath=dns,a\\\\,b pvd ohttp",
                        key.max(12)
                    ),
                )
            }
        ),
        (any::<u8>(), name(), base64())
            .prop_map(|(p, gateway, key)| (Rtype::IPSECKEY, format!("{p} 3 2 {gateway} {key}"))),
        (digits(1..20), base64(), name(), name())
            .prop_map(|(hit, key, a, b)| (Rtype::HIP, format!("2 {hit} {key} {a} {b}"))),
        (v4(), vec(any::<u16>(), 0..6)).prop_map(|(a, ports)| {
            let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
            (Rtype::WKS, format!("{a} tcp {}", ports.join(" ")))
        }),
        (any::<u16>(), digits(1..30)).prop_map(|(number, hex)| {
            (Rtype(number | 0xF000), format!("\\# {} {hex}", hex.len() / 2))
        }),
    ]
}

/// The same tokens with all that may stand between them, in parentheses, commented, over lines.
fn dressed(line: &str, seed: u8) -> String {
    let gaps = [" ( ", "\t", "\n\t ", " ; c ) \" (\n ", "\r\n ", "   ", " ( \n ) "];
    let mut at = usize::from(seed);
    let mut out = String::new();
    let mut depth = 0;
    let (mut quoted, mut escaped, mut tokens) = (false, false, 0);
    for char in line.chars() {
        if char == ' ' && !quoted && !escaped {
            tokens += 1;
            at += 1;
            let gap = if tokens == 1 { gaps[0] } else { gaps[1 + at % (gaps.len() - 1)] };
            depth += gap.matches('(').count() - gap.matches(") \n").count();
            out.push_str(gap);
            continue;
        }
        quoted ^= char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        out.push(char);
    }
    let _ = depth;
    out + " ) "
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn text_and_wire_round_trip((rtype, text) in rdata()) {
        let wire = rdata_from_text(rtype, &text, &origin()).unwrap();
        prop_assert!(rdata_is_valid(rtype, &wire));
        let shown = rdata_to_text(rtype, &wire);
        prop_assert_eq!(&rdata_from_text(rtype, &shown, &Name::root()).unwrap(), &wire, "{}", shown);
        let generic = format!("\\# {} {}", wire.len(), hex(&wire));
        prop_assert_eq!(&rdata_from_text(rtype, &generic, &origin()).unwrap(), &wire);
    }

    #[test]
    fn any_bytes_show_and_read_back(number in 0..300u16, bytes in vec(any::<u8>(), 0..60)) {
        let rtype = Rtype(number);
        let shown = rdata_to_text(rtype, &bytes);
        if rdata_is_valid(rtype, &bytes) {
            let back = rdata_from_text(rtype, &shown, &origin());
            prop_assert_eq!(back, Ok(bytes), "{} {}", rtype, shown);
        } else {
            prop_assert!(shown.starts_with("\\# "));
        }
    }

    #[test]
    fn plain_and_dressed_lines_are_the_same(
        owner in name(), (rtype, text) in rdata(), ttl in 0..100_000u32, seed in any::<u8>(),
    ) {
        let line = format!("{owner} {ttl} IN {rtype} {text}");
        let plain = records(&line).unwrap();
        let other = dressed(&line, seed);
        prop_assert_eq!(records(&other).unwrap(), plain.clone(), "{}", other);
        prop_assert_eq!(record_from_line(&line, &origin(), 60).unwrap(), plain[0].clone());
        let swapped = format!("{owner} in {ttl} {} {text} ; c\n", rtype.to_string().to_lowercase());
        prop_assert_eq!(records(&swapped).unwrap(), plain);
    }

    #[test]
    fn how_the_bytes_arrive_does_not_matter(
        lines in vec((name(), rdata()), 1..30), step in 1..50usize,
    ) {
        let text: String = lines
            .iter()
            .map(|(owner, (rtype, text))| format!("{owner} ( 60 {rtype}\n{text} )\n"))
            .collect();
        let whole = records(&text).unwrap();
        let mut found = Vec::new();
        let origin = origin();
        let mut source = Dribble(text.as_bytes(), step);
        read(&mut source, &Options::new(&origin), &NoIncludes, &mut |record| {
            found.push(OwnedRecord::from(record));
            Ok(())
        })
        .unwrap();
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn any_bytes_are_read_to_an_end(bytes in vec(any::<u8>(), 0..400)) {
        reads_to_an_end(&bytes);
    }

    #[test]
    fn any_tokens_are_read_to_an_end(
        tokens in vec(
            prop_oneof![
                Just("a"), Just(" "), Just("\n"), Just("\t"), Just("("), Just(")"), Just("\""),
                Just(";"), Just("\\"), Just("@"), Just("IN"), Just("TXT"), Just("SVCB"),
                Just("LOC"), Just("$ORIGIN"), Just("$TTL"), Just("$GENERATE"), Just("$INCLUDE"),
                Just("1-3"), Just("${0,3,n}"), Just("$"), Just("1h"), Just("0"), Just("\\#"),
                Just("NSEC3"), Just("alpn="), Just("."), Just("=="), Just("key7"), Just("\r\n"),
                Just("SOA"), Just("APL"), Just("1:"), Just("/"), Just("WKS"), Just("TYPE65534"),
            ],
            0..80,
        ),
    ) {
        reads_to_an_end(tokens.concat().as_bytes());
    }
}

fn reads_to_an_end(bytes: &[u8]) {
    let origin = origin();
    let mut count = 0;
    let result = read(&mut &*bytes, &Options::new(&origin), &NoIncludes, &mut |record| {
        count += 1;
        assert!(rdata_is_valid(record.rtype, record.rdata));
        Ok(())
    });
    let errors = result.err().unwrap_or_default();
    assert!(errors.len() <= MAX_ERRORS);
    let lines = bytes.split(|&byte| byte == b'\n').count();
    for error in errors {
        assert!(error.line >= 1 && error.line as usize <= lines, "{error}");
        assert!(error.column >= 1 && error.column as usize <= bytes.len() + 1, "{error}");
    }
    assert!(count <= bytes.len());
}

#[test]
fn a_long_file_and_long_entries_cross_the_buffer() {
    let long = "\"0123456789abcdef\"\n".repeat(200_000);
    assert!(records(&format!("a TXT ( {long} )")).is_err(), "more than 65535 bytes");
    let comment = format!("; {}\n", "x".repeat(3_000_000));
    let text =
        format!("a A 192.0.2.1\n{comment}b ( {comment}A 192.0.2.2 )\n{comment}c A 192.0.2.3");
    assert_eq!(records(&text).unwrap().len(), 3);
    let many: String = (0..200_000).map(|at| format!("host{at} A 192.0.2.1\n")).collect();
    let found = records(&many).unwrap();
    assert_eq!(found.len(), 200_000);
    assert_eq!(found[199_999].owner.to_string(), "host199999.example.org.");
    let errors = records(&format!("{many}bad A 1.2.3\n")).unwrap_err();
    assert_eq!((errors[0].line, errors[0].column), (200_001, 7));
}

#[test]
fn an_entry_without_an_end_is_refused() {
    let errors = records(&format!("a TXT ( {}", "x\n".repeat(10_000_000))).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].line, 1);
    assert!(errors[0].message.contains("longer than 16 MiB"), "{}", errors[0]);
}

#[test]
fn reading_stops_after_twenty_errors() {
    assert_eq!(records(&"a A x\n".repeat(1000)).unwrap_err().len(), MAX_ERRORS);
}

#[test]
fn one_line_makes_one_record() {
    let record = record_from_line("www A 192.0.2.1", &origin(), 300).unwrap();
    assert_eq!((record.ttl, record.owner.to_string().as_str()), (300, "www.example.org."));
    assert!(record_from_line("", &origin(), 300).is_err());
    assert!(record_from_line("a A 1.1.1.1\nb A 1.1.1.1", &origin(), 300).is_err());
}
