//! A record in wire form, as the master file reader passes it to the builder.

use wire::{Class, NewRecord, Rdata, Rtype, name};

/// A record in wire form, borrowed from its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Uncompressed owner name, in the case of the text.
    pub owner: &'a [u8],
    /// Type.
    pub rtype: Rtype,
    /// Class; zones hold one class only.
    pub class: Class,
    /// Time to live in seconds.
    pub ttl: u32,
    /// RDATA with uncompressed names.
    pub rdata: &'a [u8],
}

impl RecordRef<'_> {
    /// The serial number in the RDATA of an SOA record (RFC 1035 section 3.3.13).
    pub fn soa_serial(&self) -> Option<u32> {
        let first = name::wire_len(self.rdata)?;
        let second = name::wire_len(self.rdata.get(first..)?)?;
        let serial = self.rdata.get(first + second..)?.first_chunk()?;
        Some(u32::from_be_bytes(*serial))
    }
}

impl<'a> From<RecordRef<'a>> for NewRecord<'a> {
    fn from(record: RecordRef<'a>) -> Self {
        let RecordRef { owner, rtype, class, ttl, rdata } = record;
        Self { owner, class, ttl, rdata: Rdata::Other(rtype, rdata) }
    }
}
