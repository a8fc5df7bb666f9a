//! Properties of the master-file reader: round trips, plain and dressed-up lines alike, and no
//! input that makes it panic or loop.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod master_kit;

use std::io::{self, Read};

use catena_zone::master::{
    MAX_ERRORS, NoIncludes, Options, OwnedRecord, ZoneError, parse_text, rdata_from_text,
    rdata_is_valid, rdata_to_text, read, record_from_line,
};
use master_kit::{hex, name, origin, rdata};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{Name, Rtype};

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
