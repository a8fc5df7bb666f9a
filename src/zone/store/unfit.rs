//! Conflicts between records that keep them from being served as a zone.

use std::fmt;

use wire::{Class, Name, Rtype, name};

use super::encode;
use crate::RecordRef;

/// A conflict between the records of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The name whose records conflict, in lower case.
    pub owner: Name,
    /// The rule that they break.
    pub conflict: Conflict,
}

/// A rule about the records of one name or zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A CNAME record beside others (RFC 1034 section 3.6.2).
    CnameAndOther,
    /// CNAME records that differ (RFC 2181 section 10.1).
    Cnames,
    /// DNAME records that differ (RFC 6672 section 2.4).
    Dnames,
    /// SOA records at the apex that differ.
    Soas,
    /// A SOA record at another name than the apex.
    SoaBelowApex,
    /// No SOA record at the apex.
    NoSoa,
    /// A signed zone of more bytes than its order of proofs can address.
    TooLarge,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = &self.owner;
        match self.conflict {
            Conflict::CnameAndOther => write!(f, "CNAME and other data at `{owner}`"),
            Conflict::Cnames => write!(f, "more than one CNAME record at `{owner}`"),
            Conflict::Dnames => write!(f, "more than one DNAME record at `{owner}`"),
            Conflict::Soas => write!(f, "two SOA records that differ at `{owner}`"),
            Conflict::SoaBelowApex => write!(f, "SOA record below the apex, at `{owner}`"),
            Conflict::NoSoa => write!(f, "zone `{owner}` has no SOA record"),
            Conflict::TooLarge => {
                write!(f, "`{owner}`: a signed zone of more than 4 GiB is not supported")
            }
        }
    }
}

impl Unfit {
    /// How to resolve the conflict. `is_apex`: the owner is the name of the zone.
    pub fn help(&self, is_apex: bool) -> &'static str {
        match self.conflict {
            Conflict::CnameAndOther if is_apex => {
                "the apex has SOA and NS records, so it cannot be an alias: write the addresses \
                 (A, AAAA) themselves"
            }
            Conflict::CnameAndOther => {
                "an alias stands alone at its name: remove the CNAME record, or the others"
            }
            Conflict::Cnames => "an alias has one target: remove the other CNAME records",
            Conflict::Dnames => "a DNAME record has one target: remove the others",
            Conflict::Soas => "keep the SOA record whose serial number is right",
            Conflict::SoaBelowApex => {
                "a zone has one SOA record, at its apex: remove this one, or move its names to a \
                 zone file of their own"
            }
            Conflict::NoSoa => {
                "a zone has one SOA record, at its apex; is this the file of another zone?"
            }
            Conflict::TooLarge => "split the zone",
        }
    }
}

/// Whether a record of this type may stand beside a CNAME record (RFC 4034 section 2.5, RFC 2535
/// section 2.3.5).
pub(crate) fn may_stand_beside_cname(rtype: Rtype) -> bool {
    matches!(
        rtype,
        Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC | Rtype::KEY | Rtype::SIG | Rtype::NXT
    )
}

/// The role of a record in a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The record that completes the conflict.
    Last(&'static str),
    /// The earlier record, which the last one conflicts with.
    First(&'static str),
}

/// Finds the records of one conflict in a second pass over the text.
pub(crate) struct ConflictSearch<'u> {
    pub(crate) unfit: &'u Unfit,
    /// RDATA of the first record of the type that has too many.
    first: Option<Vec<u8>>,
    alias: bool,
    other: bool,
    done: bool,
}

impl<'u> ConflictSearch<'u> {
    pub(crate) fn new(unfit: &'u Unfit) -> Self {
        Self { unfit, first: None, alias: false, other: false, done: false }
    }

    /// The role of a record, if it has one.
    pub(crate) fn part(&mut self, record: RecordRef<'_>) -> Option<Part> {
        if self.done {
            return None;
        }
        let is_soa = record.rtype == Rtype::SOA;
        if self.unfit.conflict == Conflict::NoSoa {
            self.done = is_soa;
            return is_soa.then_some(Part::Last("this SOA record is of another zone"));
        }
        if record.class != Class::IN || !name::eq(record.owner, self.unfit.owner.as_wire()) {
            return None;
        }
        match self.unfit.conflict {
            Conflict::SoaBelowApex => {
                self.done = is_soa;
                is_soa.then_some(Part::Last("this name is below the apex"))
            }
            Conflict::CnameAndOther => self.beside_alias(record.rtype),
            Conflict::Cnames => self.one_too_many(record, Rtype::CNAME),
            Conflict::Dnames => self.one_too_many(record, Rtype::DNAME),
            Conflict::Soas => self.one_too_many(record, Rtype::SOA),
            Conflict::NoSoa | Conflict::TooLarge => None,
        }
    }

    fn beside_alias(&mut self, rtype: Rtype) -> Option<Part> {
        let is_alias = rtype == Rtype::CNAME;
        if !is_alias && may_stand_beside_cname(rtype) {
            return None;
        }
        let (known, before, what) = match is_alias {
            true => (&mut self.alias, self.other, "the alias"),
            false => (&mut self.other, self.alias, "the other data"),
        };
        self.done = before;
        if std::mem::replace(known, true) {
            None
        } else if before {
            Some(Part::Last(what))
        } else {
            Some(Part::First(what))
        }
    }

    fn one_too_many(&mut self, record: RecordRef<'_>, rtype: Rtype) -> Option<Part> {
        if record.rtype != rtype {
            return None;
        }
        match &self.first {
            None => {
                self.first = Some(record.rdata.to_vec());
                Some(Part::First("the first one"))
            }
            Some(first) if encode::same_rdata(rtype, first, record.rdata) => None,
            Some(_) => {
                self.done = true;
                Some(Part::Last("this one differs"))
            }
        }
    }
}
