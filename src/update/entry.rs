//! A record of an UPDATE message.

use wire::record::Record;
use wire::{Class, Malformed, Name, NameBuf, Rtype, rdata};

/// A record of the prerequisite section or the update section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The owner as the client wrote it.
    pub owner: Name,
    /// The type.
    pub rtype: Rtype,
    /// The class, which says what is meant.
    pub(crate) class: Class,
    /// Time to live in seconds.
    pub(crate) ttl: u32,
    /// RDATA with uncompressed names; often empty.
    pub(crate) rdata: Vec<u8>,
}

impl Entry {
    pub(crate) fn read(record: &Record<'_>) -> Result<Self, Malformed> {
        let mut owner = NameBuf::new();
        record.owner(&mut owner)?;
        let mut rdata = Vec::new();
        rdata::expand(record.rtype, record.message, record.rdata_at, record.end, &mut rdata)?;
        let Record { rtype, class, ttl, .. } = *record;
        Ok(Self { owner: owner.to_name(), rtype, class, ttl, rdata })
    }

    /// Whether the RDATA has the format of the type.
    pub(crate) fn is_well_formed(&self) -> bool {
        zone::master::rdata_is_valid(self.rtype, &self.rdata)
    }
}

/// RDATA with its names in lower case: equal for equal records (RFC 4034 section 6.2).
pub(crate) fn canonical(rtype: Rtype, rdata: &[u8]) -> Vec<u8> {
    let mut folded = rdata.to_vec();
    let Some(layout) = rdata::layout(rtype) else { return folded };
    let Ok(mut at) = layout.first_name(rdata, 0, rdata.len()) else { return folded };
    for _ in 0..layout.names {
        let Some(len) = rdata.get(at..).and_then(wire::name::wire_len) else { break };
        // The length of a label is less than the code of any letter.
        folded[at..at + len].make_ascii_lowercase();
        at += len;
    }
    folded
}
