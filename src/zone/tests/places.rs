//! Where mistakes of master files are: the word, the record, and the records that do not go together.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{self, Read};

use catena_zone::master::{Findings, Includes, Options, Refusal, ZoneError, read_through};
use catena_zone::{Builder, locate};
use wire::Name;

/// Included files by their paths, which are relative to the file that names them.
struct Files(&'static [(&'static str, &'static str)]);

impl Includes for Files {
    fn open(&self, path: &str, from: &str) -> io::Result<Box<dyn Read>> {
        let name = self.name(path, from);
        let found = self.0.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, text)| Box::new(text.as_bytes()) as Box<dyn Read>)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name(&self, path: &str, from: &str) -> String {
        from.rsplit_once('/')
            .map_or_else(|| path.to_owned(), |(folder, _)| format!("{folder}/{path}"))
    }
}

/// Reads a zone `x.` as `file` does.
fn load(text: &str, files: &Files) -> Findings {
    let origin = Name::from_text("x.").unwrap();
    let options = Options { file: "zones/x", ..Options::new(&origin) };
    let mut builder = Builder::new(&origin, 0);
    let mut findings = read_through(&mut text.as_bytes(), &options, files, &mut |record| {
        builder.add(record).map_err(Refusal::LeftOut)
    });
    if findings.errors.is_empty() {
        let unfit = builder.finish().err().unwrap_or_default();
        findings.errors = locate(&unfit, &mut text.as_bytes(), &options, files);
    }
    findings
}

/// `place: message`, what is meant in brackets, and the same of what it has to do with.
fn show(error: &ZoneError) -> String {
    let start = error.column.saturating_sub(1) as usize;
    let meant: String = error.excerpt.chars().skip(start).take(error.length as usize).collect();
    let label = if error.label.is_empty() { String::new() } else { format!(" {}", error.label) };
    let shown = format!("{error} [{meant}]{label}");
    error.related.iter().fold(shown, |all, one| format!("{all} | {}", show(one)))
}

const TOP: &str = "@ 9 SOA a b 1 2 3 4 5\n";
const NONE: Files = Files(&[]);

#[test]
fn mistakes_are_at_their_word() {
    for (text, wanted) in [
        (
            "a 9 A 192.0.2.999 ; no\n",
            "zones/x:2:7: `192.0.2.999` is not a valid address [192.0.2.999]",
        ),
        ("a 9 A 1.2.3.4 more)\n", "zones/x:2:15: `more` is more than this record holds [more]"),
        ("a 9 TXT \"never\nclosed\n", "zones/x:2:9: `\"` is never closed [\"]"),
        ("a 9 A\n", "zones/x:2:6: the address is missing []"),
        ("a 9 MX 10 (\n  \"q q\" )\n", "zones/x:3:3: "),
        ("é 9 A ü\n", "zones/x:2:7: `ü` is not a valid address [ü]"),
    ] {
        let errors = load(&[TOP, text].concat(), &NONE).errors;
        let shown = errors.first().map(show).unwrap_or_default();
        assert!(shown.starts_with(wanted), "{text:?}: {shown}");
    }
    let long = format!("{TOP}a 9 TXT {} \"x\" \"y\" )\n", "\"0123456789\" ".repeat(200));
    let errors = load(&long, &NONE).errors;
    let shown = show(&errors[0]);
    assert!(shown.ends_with("[)]"), "the excerpt reaches as far as the column: {shown}");
}

#[test]
fn records_that_do_not_go_together_are_found_again() {
    let too_many = "a 9 A 1.2.3.4\nm 9 CNAME a\n";
    for (text, wanted) in [
        (
            "m 9 CNAME a ; an alias\nn 9 A 1.2.3.4\nM 9 TXT \"x\" ; and more\n",
            "zones/x:4:1: CNAME and other data at `m.x.` [M 9 TXT \"x\"] the other data \
             | zones/x:2:1:  [m 9 CNAME a] the alias",
        ),
        (
            "m 9 RRSIG A 8 2 9 20300101000000 20200101000000 1 x. AAAA\n  A 1.2.3.4\n  CNAME (\n a )\n",
            "zones/x:4:3: CNAME and other data at `m.x.` [CNAME] the alias \
             | zones/x:3:3:  [A 1.2.3.4] the other data",
        ),
        (
            "@ 9 CNAME a\n",
            "zones/x:2:1: CNAME and other data at `x.` [@ 9 CNAME a] the alias \
             | zones/x:1:1:  [@ 9 SOA a b 1 2 3 4 5] the other data",
        ),
        (
            "m 9 CNAME a\nm 9 CNAME A\nm 9 CNAME b\n",
            "zones/x:4:1: more than one CNAME record at `m.x.` [m 9 CNAME b] this one differs \
             | zones/x:2:1:  [m 9 CNAME a] the first one",
        ),
        (
            "m 9 DNAME a\nm 9 DNAME b\n",
            "zones/x:3:1: more than one DNAME record at `m.x.` [m 9 DNAME b] this one differs \
             | zones/x:2:1:  [m 9 DNAME a] the first one",
        ),
        (
            "x. 9 SOA a b 1 2 3 4 6\n",
            "zones/x:2:1: two SOA records that differ at `x.` [x. 9 SOA a b 1 2 3 4 6] this one \
             differs | zones/x:1:1:  [@ 9 SOA a b 1 2 3 4 5] the first one",
        ),
        (
            "sub 9 SOA a b 1 2 3 4 5\n",
            "zones/x:2:1: SOA record below the apex, at `sub.x.` [sub 9 SOA a b 1 2 3 4 5] this \
             name is below the apex",
        ),
        (
            "m 9 A 1.2.3.4\n$GENERATE 1-3 m CNAME h$\n",
            "zones/x:3:15: more than one CNAME record at `m.x.` [m]",
        ),
        (
            "m 9 A 1.2.3.4\n$INCLUDE part y\n$INCLUDE part\n",
            "zones/part:2:1: CNAME and other data at `m.x.` [m CNAME a] the alias \
             | zones/x:2:1:  [m 9 A 1.2.3.4] the other data",
        ),
    ] {
        let files = Files(&[("zones/part", "$TTL 9\nm CNAME a\n")]);
        let errors = load(&[TOP, text].concat(), &files).errors;
        let shown = errors.first().map(show).unwrap_or_default();
        assert!(shown.starts_with(wanted), "{text:?}: {shown}");
    }
    let many: String = (0..30)
        .map(|n| too_many.replace("m ", &format!("m{n} ")).replace("a ", &format!("m{n} ")))
        .collect();
    let errors = load(&[TOP, &many].concat(), &NONE).errors;
    assert_eq!(errors.len(), 20, "the first twenty");
    assert!(errors.iter().all(|error| error.related.len() == 1 && error.line > 2));
    assert!(errors.is_sorted_by_key(|error| error.line));
}

#[test]
fn a_zone_without_soa_tells_whose_the_first_one_is() {
    let shown = |text: &str| show(&load(text, &NONE).errors[0]);
    assert_eq!(shown("@ 9 NS a\n"), "zones/x: zone `x.` has no SOA record []");
    assert_eq!(
        shown("@ 9 NS a\n$ORIGIN y.\n@ 9 SOA a b 1 2 3 4 5\n"),
        "zones/x:3:1: zone `x.` has no SOA record [@ 9 SOA a b 1 2 3 4 5] this SOA record is of \
         another zone"
    );
}

#[test]
fn records_left_out_are_warnings_with_a_place() {
    let text = "a.y. 9 A 1.2.3.4\nb 9 CH TXT t\n$INCLUDE part\n$GENERATE 1-40 h$.y. A 1.2.3.$\n";
    let files = Files(&[("zones/part", "\n\nc.z. 9 A ( 1.2.3.4 )\n")]);
    let findings = load(&[TOP, text].concat(), &files);
    assert_eq!(findings.errors, []);
    let shown: Vec<String> = findings.warnings.iter().map(show).collect();
    assert_eq!(
        shown,
        [
            "zones/x:2:1: `a.y.` is not in zone `x.` [a.y. 9 A 1.2.3.4] left out",
            "zones/x:3:1: the TXT record of `b.x.` is of class CH, not IN [b 9 CH TXT t] left out",
            "zones/part:3:1: `c.z.` is not in zone `x.` [c.z. 9 A ( 1.2.3.4] left out",
            "zones/x:5:1: `h1.y.` is not in zone `x.` [$GENERATE 1-40 h$.y. A 1.2.3.$] left out",
        ]
    );
    assert_eq!(findings.warned(), 43, "all of them are counted");
}
