//! Golden pairs: the checks find in `tests/zonecheck/NAME.zone` what `NAME.out` says.
//!
//! `UPDATE=1` rewrites the expectations; review the difference.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use catena_zone::check::{Check, CheckOptions, Level, Report, Rules, check};
use catena_zone::master::{Includes, NoIncludes, Options, ZoneError, soa_owner};
use wire::Name;

/// 2026-06-01, in the middle of the validity of the signatures.
const NOW: u32 = 1_780_272_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/zonecheck")
}

fn checked(path: &Path, rules: &Rules) -> Report {
    let origin = Name::from_text("example.org.").unwrap();
    let file = path.file_name().unwrap().to_str().unwrap();
    let read = Options { file, ..Options::new(&origin) };
    let options = CheckOptions { read, rules, now: Some(NOW) };
    let mut open = || -> io::Result<Box<dyn Read>> { Ok(Box::new(File::open(path)?)) };
    check(&mut open, &options, &NoIncludes).unwrap().0
}

fn place(out: &mut String, at: &ZoneError) {
    let caret = at.column.saturating_sub(1) as usize;
    if at.line > 0 && caret < 80 {
        let excerpt: String = at.excerpt.chars().take(80).collect();
        writeln!(out, "  | {}", excerpt.replace('\t', " ").trim_end()).unwrap();
        let mark = "^".repeat((at.length as usize).clamp(1, 80 - caret));
        writeln!(out, "  | {:caret$}{}", "", format!("{mark} {}", at.label).trim_end()).unwrap();
    }
}

fn show(path: &Path) -> String {
    let mut rules = Rules::default();
    rules.set(Check::HostName, Level::Warning);
    let report = checked(path, &rules);
    let mut out = String::new();
    for finding in &report.findings {
        let level = if finding.level == Level::Error { "error" } else { "warning" };
        writeln!(out, "{level}[{}]: {}", finding.check.name(), finding.at).unwrap();
        place(&mut out, &finding.at);
        for related in &finding.at.related {
            writeln!(out, "  {}:{}:{}", related.file, related.line, related.column).unwrap();
            place(&mut out, related);
        }
        if let Some(help) = &finding.at.help {
            writeln!(out, "  = help: {help}").unwrap();
        }
    }
    for (check, count) in &report.unshown {
        writeln!(out, "{}: {count} more", check.name()).unwrap();
    }
    let (serial, digest) = (report.serial, &report.digest);
    writeln!(out, "serial {serial:?}, {} records, {} names", report.records, report.names).unwrap();
    writeln!(out, "{} errors, {} warnings; digest {digest:?}", report.errors, report.warnings)
        .unwrap();
    out
}

#[test]
fn the_checks_find_what_is_expected() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut zones: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "zone"))
        .collect();
    zones.sort();
    assert!(zones.len() >= 10, "only {} zone files", zones.len());
    let mut wrong = Vec::new();
    let mut all = String::new();
    for zone in zones {
        let got = show(&zone);
        let expectation = zone.with_extension("out");
        if update {
            fs::write(&expectation, &got).unwrap();
        } else if fs::read_to_string(&expectation).unwrap_or_default() != got {
            wrong.push(format!("{}:\n{got}", zone.display()));
        }
        all.push_str(&got);
    }
    assert!(wrong.is_empty(), "not as expected (UPDATE=1 rewrites):\n{}", wrong.join("\n"));
    // Includes need files: see the tests of the command.
    for check in Check::ALL.iter().filter(|check| **check != Check::IncludeOutside) {
        assert!(all.contains(&format!("[{}]", check.name())), "no zone shows {}", check.name());
    }
}

#[test]
fn a_check_that_is_off_finds_nothing_and_an_error_counts() {
    let path = folder().join("targets.zone");
    let usual = checked(&path, &Rules::default());
    assert!(usual.errors == 0 && usual.warnings > 0);
    let mut rules = Rules::default();
    rules.set(Check::CnameToNothing, Level::Error);
    rules.set(Check::MxToCname, Level::Off);
    rules.shown = 1;
    let other = checked(&path, &rules);
    assert_eq!(other.errors, 4, "four aliases lead to nothing");
    let found = |check| other.findings.iter().filter(|finding| finding.check == check).count();
    assert_eq!((found(Check::CnameToNothing), found(Check::MxToCname)), (1, 0));
    assert!(other.unshown.contains(&(Check::CnameToNothing, 3)));
}

/// Files that are all included from a strange place.
struct Strange;

impl Includes for Strange {
    fn open(&self, _: &str, _: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(io::empty()))
    }

    fn doubt(&self, _: &str, _: &str) -> Option<(String, String)> {
        Some(("a strange place".to_owned(), "move it".to_owned()))
    }
}

#[test]
fn warnings_are_counted_and_cut_by_their_check() {
    let string = "x".repeat(256);
    let text = format!(
        "@ 3600 SOA ns h 1 7200 3600 1209600 3600\n@ 3600 NS ns\nns 3600 A 192.0.2.1\n{}{}",
        (0..3).map(|n| format!("t{n} 3600 TXT {string}\n")).collect::<String>(),
        "$INCLUDE part\n".repeat(4)
    );
    let origin = Name::from_text("example.org.").unwrap();
    let mut rules = Rules::default();
    rules.shown = 2;
    let shown = |rules: &Rules| {
        let options = CheckOptions { read: Options::new(&origin), rules, now: None };
        let mut open = || -> io::Result<Box<dyn Read>> {
            Ok(Box::new(io::Cursor::new(text.clone().into_bytes())))
        };
        let report = check(&mut open, &options, &Strange).unwrap().0;
        let found = report.findings.iter().map(|finding| finding.check.name()).collect::<Vec<_>>();
        (found.join(" "), report.unshown, report.warnings)
    };
    let (long, include) = (Check::LongString, Check::IncludeOutside);
    assert_eq!(
        shown(&rules),
        (
            "long-string long-string include-outside include-outside".to_owned(),
            vec![(long, 1), (include, 2)],
            7
        )
    );
    rules.set(long, Level::Off);
    let all = ("include-outside include-outside".to_owned(), vec![(include, 2)], 4);
    assert_eq!(shown(&rules), all, "warnings of a check that is off take no room");
}

#[test]
fn the_owner_of_the_soa_record_is_the_zone() {
    let root = Name::root();
    let owner = |mut text: &[u8]| soa_owner(&mut text, &Options::new(&root), &NoIncludes);
    let name = |text: &str| Some(Name::from_text(text).unwrap());
    assert_eq!(owner(b"$ORIGIN example.org.\n@ SOA a b 1 2 3 4 5\n$NO"), name("example.org."));
    assert_eq!(owner(b"example.org. SOA a b 1 2 3 4 5\n"), name("example.org."));
    assert_eq!(owner(b". SOA a. b. 1 2 3 4 5\n"), name("."));
    assert_eq!(owner(b"@ SOA a b 1 2 3 4 5\n"), None);
    assert_eq!(owner(b"a A 192.0.2.1\n"), None);
}
