//! Checks a master file: reads it, runs the checks, and finds the places of what they found.

use std::io::{self, Read};

use wire::{Class, Name, name};

use super::finding::{Draft, Drafts, Finding, Report};
use super::rules::{Check, Level, Rules};
use super::tree::Tree;
use super::{apex, denial, places, sets, signed, targets};
use crate::digest::{self, Verdict};
use crate::listing::{Lister, Listing};
use crate::master::{self, Includes, Options, Refusal, ZoneError};

/// What is checked, and how.
#[derive(Clone, Copy, Debug)]
pub struct CheckOptions<'a> {
    /// How the file is read. Its `origin` is the name of the zone.
    pub read: Options<'a>,
    /// How serious each check is.
    pub rules: &'a Rules,
    /// Seconds since 1970, for signatures; they are not checked without.
    pub now: Option<u32>,
}

/// Checks a master file. `open` opens it, a second time if something is found. Returns the records, too.
///
/// # Errors
/// The file cannot be opened. What is wrong inside is in the report.
pub fn check(
    open: &mut dyn FnMut() -> io::Result<Box<dyn Read>>,
    options: &CheckOptions<'_>,
    includes: &dyn Includes,
) -> io::Result<(Report, Listing)> {
    let rules = options.rules;
    let read = Options { max_warnings: rules.shown, ..options.read };
    let mut drafts = Drafts::new(rules);
    let mut lister = Lister::new();
    let mut others = Lister::new();
    let findings = master::read_through(&mut *open()?, &read, includes, &mut |record| {
        let added = match record.class {
            Class::IN => lister.add(record),
            _ if drafts.wants(Check::OtherClass) => others.add(record),
            _ => Ok(()),
        };
        added.map_err(Refusal::Mistake)
    });
    let listing = lister.list();
    for listed in others.list().records() {
        sets::other_class(listed, &mut drafts);
    }
    let tree = Tree { listing: &listing, apex: read.origin };
    let mut digest = Verdict::Absent;
    // Names that could not be read would be missed everywhere.
    if findings.errors.is_empty() {
        apex::check(&tree, &mut drafts);
        sets::check(&tree, &mut drafts);
        targets::check(&tree, &mut drafts);
        if signed::is_signed(&tree) {
            signed::check(&tree, options.now, &mut drafts);
            denial::check(&tree, &mut drafts);
        }
        if drafts.wants(Check::Zonemd) {
            digest = digest::verify_listing(&listing, read.origin);
            apex::check_digest(&tree, &digest, &mut drafts);
        }
    }
    for _ in &findings.errors {
        drafts.counts(Check::Syntax);
    }
    let mut found = Vec::new();
    for at in findings.errors {
        found.push(Finding { check: Check::Syntax, level: Level::Error, at });
    }
    // The reader leaves no record out here, so that each warning has the name of its check.
    for (check, count) in findings.warned {
        let check = Check::named(check).unwrap_or(Check::LongString);
        (0..count).for_each(|_| _ = drafts.counts(check));
    }
    for at in findings.warnings {
        let check = Check::named(at.check).unwrap_or(Check::LongString);
        if drafts.wants(check) {
            found.push(Finding { check, level: rules.level(check), at });
        }
    }
    let counts = std::mem::take(&mut drafts.counts);
    let kept = std::mem::take(&mut drafts.kept);
    if !kept.is_empty() {
        let located = places::locate(kept, &mut *open()?, &options.read, includes);
        found.extend(located.into_iter().map(|(draft, at)| finding(&draft, at, rules)));
    }
    found.sort_by(|a, b| place(&a.at, read.file).cmp(&place(&b.at, read.file)));
    Ok((report(&listing, digest, found, &counts, options), listing))
}

fn finding(draft: &Draft, at: ZoneError, rules: &Rules) -> Finding {
    Finding { check: draft.check, level: rules.level(draft.check), at }
}

/// The file itself first, then those that it includes.
fn place<'a>(error: &'a ZoneError, file: &str) -> (bool, &'a str, u32, u32) {
    (error.file != file, &error.file, error.line, error.column)
}

fn report(
    listing: &Listing,
    digest: Verdict,
    findings: Vec<Finding>,
    counts: &[usize],
    options: &CheckOptions<'_>,
) -> Report {
    let apex: &Name = options.read.origin;
    let soa = listing.name(apex.as_wire()).and_then(|found| {
        found.of(wire::Rtype::SOA).next().and_then(|soa| soa.record.soa_serial())
    });
    let of_level = |level: Level| {
        let all = Check::ALL.iter().filter(|check| options.rules.level(**check) == level);
        all.map(|check| counts[check.index()]).sum()
    };
    let unshown = Check::ALL.iter().filter_map(|check| {
        let shown = findings.iter().filter(|finding| finding.check == *check).count();
        let more = counts[check.index()].saturating_sub(shown);
        (more > 0).then_some((*check, more))
    });
    let inside = |owner: &[u8]| name::is_under(owner, apex.as_wire());
    Report {
        apex: apex.clone(),
        serial: soa,
        records: listing.len(),
        names: listing.names().filter(|name| inside(name.owner())).count(),
        digest,
        unshown: unshown.collect(),
        errors: of_level(Level::Error),
        warnings: of_level(Level::Warning),
        findings,
    }
}
