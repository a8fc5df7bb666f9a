//! What the checks found: first by record, then by place.

use wire::{Name, Rtype};

use super::rules::{Check, Level, Rules};
use crate::RecordRef;
use crate::digest::Verdict;
use crate::master::ZoneError;

/// A finding at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// Warning or error.
    pub level: Level,
    /// The place, message and remedy.
    pub at: ZoneError,
}

/// All that is said about a file.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of the zone.
    pub apex: Name,
    /// Serial of its SOA record.
    pub serial: Option<u32>,
    /// Number of records that were read.
    pub records: usize,
    /// Number of names with records.
    pub names: usize,
    /// What the ZONEMD records say.
    pub digest: Verdict,
    /// The findings in the order of the file.
    pub findings: Vec<Finding>,
    /// Findings of a check that are not among them.
    pub unshown: Vec<(Check, usize)>,
    /// Number of errors.
    pub errors: usize,
    /// Number of warnings.
    pub warnings: usize,
}

/// A record to find in the text: what it is, and which of several equal ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) owner: Vec<u8>,
    /// The type and RDATA; any record of the owner without.
    pub(super) what: Option<(Rtype, Vec<u8>)>,
    /// How many equal ones come before it.
    pub(super) nth: usize,
}

impl Spot {
    /// A name: its first record.
    pub(super) fn name(owner: &[u8]) -> Self {
        Self { owner: owner.to_owned(), what: None, nth: 0 }
    }

    /// The second of two equal records.
    pub(super) fn again(self) -> Self {
        Self { nth: self.nth + 1, ..self }
    }
}

impl From<RecordRef<'_>> for Spot {
    fn from(record: RecordRef<'_>) -> Self {
        let what = Some((record.rtype, record.rdata.to_owned()));
        Self { owner: record.owner.to_owned(), what, nth: 0 }
    }
}

/// A finding whose place is not known yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) check: Check,
    /// The record; `None` for the file as a whole.
    pub(super) at: Option<Spot>,
    pub(super) label: String,
    pub(super) message: String,
    pub(super) help: String,
    pub(super) related: Vec<(Spot, String)>,
    /// Whether the record and the related one are the same to the rule.
    pub(super) either: bool,
}

impl Draft {
    pub(super) fn new(message: String, help: impl Into<String>) -> Self {
        Self {
            check: Check::Syntax,
            at: None,
            label: String::new(),
            message,
            help: help.into(),
            related: Vec::new(),
            either: false,
        }
    }

    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The other one of two records that are the same to the rule.
    pub(super) fn first(self, spot: impl Into<Spot>) -> Self {
        Self { either: true, ..self.related(spot, "the first one") }
    }

    pub(super) fn related(mut self, spot: impl Into<Spot>, label: impl Into<String>) -> Self {
        self.related.push((spot.into(), label.into()));
        self
    }
}

/// Collects findings: all are counted, and a few of each check are kept.
pub(super) struct Drafts<'r> {
    rules: &'r Rules,
    pub(super) kept: Vec<Draft>,
    pub(super) counts: Vec<usize>,
}

impl<'r> Drafts<'r> {
    pub(super) fn new(rules: &'r Rules) -> Self {
        Self { rules, kept: Vec::new(), counts: vec![0; Check::ALL.len()] }
    }

    /// Whether the check is made at all.
    pub(super) fn wants(&self, check: Check) -> bool {
        self.rules.level(check) != Level::Off
    }

    /// Adds a finding at a record.
    pub(super) fn at(&mut self, check: Check, spot: impl Into<Spot>, make: impl FnOnce() -> Draft) {
        if self.counts(check) {
            let at = Some(spot.into());
            self.kept.push(Draft { check, at, ..make() });
        }
    }

    /// Adds a finding about the file as a whole.
    pub(super) fn whole(&mut self, check: Check, make: impl FnOnce() -> Draft) {
        if self.counts(check) {
            self.kept.push(Draft { check, ..make() });
        }
    }

    /// Counts a finding, and says whether it is one to keep.
    pub(super) fn counts(&mut self, check: Check) -> bool {
        if !self.wants(check) {
            return false;
        }
        let count = &mut self.counts[check.index()];
        *count += 1;
        *count <= self.rules.shown
    }
}
