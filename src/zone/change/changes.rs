//! The difference between two versions of a zone.

use std::fmt;

use wire::{Name, Rtype};

use super::records::RecordList;
use crate::RecordRef;
use crate::store::Unfit;

/// The difference between two versions of a zone: records that go, then records that come. It is one
/// difference sequence of an IXFR (RFC 1995 section 4) and one entry of a journal.
///
/// A record is found by its owner, type and RDATA. One that comes and is there already gets the new TTL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    removed: RecordList,
    added: RecordList,
}

/// Why changes cannot be applied to a zone. The zone is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The records would not form a zone.
    Unfit(Vec<Unfit>),
    /// A record that goes is not there.
    Missing {
        /// Owner of the record.
        owner: Name,
        /// Type of the record.
        rtype: Rtype,
    },
    /// A record is of another class than IN, or lies outside the zone: the reason.
    Foreign(String),
}

impl Changes {
    /// No changes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lists of records that go and that come.
    pub fn of(removed: RecordList, added: RecordList) -> Self {
        Self { removed, added }
    }

    /// Adds a record that goes.
    pub fn remove(&mut self, record: RecordRef<'_>) {
        self.removed.push(record);
    }

    /// Adds a record that comes.
    pub fn add(&mut self, record: RecordRef<'_>) {
        self.added.push(record);
    }

    /// The records that go.
    pub fn removed(&self) -> &RecordList {
        &self.removed
    }

    /// The records that come.
    pub fn added(&self) -> &RecordList {
        &self.added
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// Serial of the version before: that of the SOA record that goes.
    pub fn from_serial(&self) -> Option<u32> {
        serial(&self.removed)
    }

    /// Serial of the version after: that of the SOA record that comes.
    pub fn to_serial(&self) -> Option<u32> {
        serial(&self.added)
    }

    /// Bytes of the records.
    pub fn size(&self) -> usize {
        self.removed.as_wire().len() + self.added.as_wire().len()
    }
}

fn serial(records: &RecordList) -> Option<u32> {
    let soa = records.iter().find(|record| record.rtype == Rtype::SOA)?;
    soa.soa_serial()
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(all) => {
                for (at, unfit) in all.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "; " };
                    write!(f, "{separator}{unfit}")?;
                }
                Ok(())
            }
            Self::Missing { owner, rtype } => {
                write!(f, "the {rtype} record of `{owner}` that goes is not in the zone")
            }
            Self::Foreign(why) => f.write_str(why),
        }
    }
}
