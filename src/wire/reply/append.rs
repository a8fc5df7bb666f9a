//! Puts what one reply says behind what another does.

use super::{NewRecord, Reply};
use crate::name::{self, NameBuf};
use crate::record::Section;
use crate::{Rdata, Rtype, rdata};

impl Reply {
    /// Adds the answer section of `from`, unless that failed. Ends where a chain of aliases has come
    /// back to where it was: each record is sent once (RFC 2181 section 5).
    pub fn append_answer(&mut self, from: &Self) {
        self.append(from, Section::Answer);
    }

    /// Adds the authority section of `from`, unless that failed.
    pub fn append_authority(&mut self, from: &Self) {
        self.append(from, Section::Authority);
    }

    fn append(&mut self, from: &Self, section: Section) {
        if from.failure().is_some() {
            return;
        }
        let mut owner = NameBuf::new();
        let mut expanded = Vec::new();
        let records = from.records().map_while(Result::ok);
        for record in records.filter(|record| record.section == section) {
            expanded.clear();
            let message = from.bytes();
            let whole =
                rdata::expand(record.rtype, message, record.rdata_at, record.end, &mut expanded);
            if record.owner(&mut owner).is_ok() && whole.is_ok() {
                if record.rtype == Rtype::CNAME && self.has_alias(owner.as_wire()) {
                    return;
                }
                let rdata = Rdata::Other(record.rtype, &expanded);
                let copy = NewRecord::new(owner.as_wire(), record.ttl, rdata).class(record.class);
                self.push(section, copy);
            }
        }
    }

    /// Whether the answer section has a CNAME record at `owner`.
    fn has_alias(&self, owner: &[u8]) -> bool {
        let mut known = NameBuf::new();
        self.records().map_while(Result::ok).any(|record| {
            record.section == Section::Answer
                && record.rtype == Rtype::CNAME
                && record.owner(&mut known).is_ok()
                && name::eq(known.as_wire(), owner)
        })
    }
}
