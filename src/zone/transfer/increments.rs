//! The records of an incremental transfer in their order (RFC 1995 section 4).

use std::sync::Arc;

use wire::Rtype;

use super::message::{Fit, Message, TooLarge};
use crate::{Changes, RecordList};

/// The place in a list of changes.
pub(super) struct Increments {
    changes: Vec<Arc<Changes>>,
    /// Index of the current changes.
    at: usize,
    /// Whether the records that come are next, not those that go.
    added: bool,
    /// Whether the SOA record of the current list was written.
    soa: bool,
    /// Offset of the next record of the current list.
    offset: usize,
}

impl Increments {
    pub(super) fn new(changes: Vec<Arc<Changes>>) -> Self {
        Self { changes, at: 0, added: false, soa: false, offset: 0 }
    }

    /// Octets of the records without compression.
    pub(super) fn size(changes: &[Arc<Changes>]) -> usize {
        changes.iter().map(|one| one.size()).sum()
    }

    /// Adds records to the message until it is full or all are written.
    pub(super) fn fill(&mut self, message: &mut Message) -> Result<Fit, TooLarge> {
        while let Some(changes) = self.changes.get(self.at) {
            let list = if self.added { changes.added() } else { changes.removed() };
            if !self.soa {
                if let Some(soa) = list.iter().find(|record| record.rtype == Rtype::SOA)
                    && message.plain_record(soa)? == Fit::Full
                {
                    return Ok(Fit::Full);
                }
                self.soa = true;
            }
            if rest(list, &mut self.offset, message)? == Fit::Full {
                return Ok(Fit::Full);
            }
            self.at += usize::from(self.added);
            (self.added, self.soa, self.offset) = (!self.added, false, 0);
        }
        Ok(Fit::All)
    }
}

/// Adds the records of a list from `offset` on, without its SOA record.
fn rest(list: &RecordList, offset: &mut usize, message: &mut Message) -> Result<Fit, TooLarge> {
    for (record, next) in list.iter_from(*offset) {
        if record.rtype != Rtype::SOA && message.plain_record(record)? == Fit::Full {
            return Ok(Fit::Full);
        }
        *offset = next;
    }
    Ok(Fit::All)
}
