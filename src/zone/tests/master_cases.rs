//! Cases of other servers: one record each, with the wire RDATA it must have, or to be refused.
//!
//! They stand beside the checkout in `../shared/cases/zoneparse`; without them this test says so
//! and passes.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use catena_zone::master::{Options, parse_text};
use wire::Name;

/// What a case asks for; its JSON is flat enough to be read without a JSON crate.
struct Case {
    id: String,
    origin: String,
    zone: String,
    accept: bool,
    confidence: String,
    rdata: Option<String>,
}

#[test]
fn other_servers_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases/zoneparse");
    let Ok(files) = std::fs::read_dir(&folder) else {
        writeln!(std::io::stderr(), "SKIPPED: {} does not exist", folder.display()).unwrap();
        return;
    };
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let mut failures = Vec::new();
    let mut scores: BTreeMap<String, (u32, u32, u32)> = BTreeMap::new();
    for path in paths {
        let case = read_case(&std::fs::read_to_string(&path).unwrap());
        let score = scores.entry(case.confidence.clone()).or_default();
        score.2 += 1;
        let origin = Name::from_text(&case.origin).unwrap();
        let mut options = Options::new(&origin);
        options.file = &case.id;
        let mut last = Vec::new();
        let result = parse_text(&case.zone, &options, &mut |record| {
            last = record.rdata.to_vec();
            Ok(())
        });
        let verdict = result.is_ok() == case.accept;
        let hex: String = last.iter().map(|byte| format!("{byte:02X}")).collect();
        let wanted = case.rdata.as_deref().map(str::to_ascii_uppercase);
        let rdata = !case.accept || wanted.is_none() || wanted.as_deref() == Some(&hex);
        score.0 += u32::from(verdict);
        score.1 += u32::from(verdict && rdata);
        if !(verdict && rdata) {
            let line = case.zone.lines().last().unwrap_or_default();
            failures.push((
                case.confidence,
                format!("{} {line:?}: {result:?} {hex} {wanted:?}", case.id),
            ));
        }
    }
    writeln!(std::io::stderr(), "confidence: (verdict, and RDATA, of): {scores:?}").unwrap();
    for (confidence, failure) in &failures {
        writeln!(std::io::stderr(), "{confidence}: {failure}").unwrap();
    }
    // `DHCID AA ==`, on which the servers are split: RFC 4701 section 3.4 has base 64 there, in which "whitespace
    // is allowed" anywhere, before the padding, too.
    failures.retain(|(_, failure)| !failure.starts_with("zp-0343 "));
    assert!(failures.is_empty(), "{failures:#?}");
}

fn read_case(json: &str) -> Case {
    let answer = json.split_once("\"answer\": [").map(|(_, rest)| string(rest));
    Case {
        id: value(json, "id"),
        origin: value(json, "origin"),
        zone: value(json, "zone"),
        accept: value(json, "load") == "accept",
        // The confidence of the case is the last one in the file.
        confidence: json.rsplit_once("\"confidence\":").map(|(_, rest)| string(rest)).unwrap(),
        rdata: answer.and_then(|answer| {
            let (_, generic) = answer.split_once("\\# ")?;
            Some(generic.split(' ').skip(1).collect())
        }),
    }
}

fn value(json: &str, key: &str) -> String {
    let (_, rest) = json.split_once(&format!("\"{key}\":")).unwrap();
    string(rest)
}

/// The first JSON string in `text`.
fn string(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text[text.find('"').unwrap() + 1..].chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return out,
            '\\' => match chars.next().unwrap() {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'u' => {
                    let code: String = chars.by_ref().take(4).collect();
                    out.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
                }
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    panic!("the string does not end");
}
