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

/// Whether the serial number `one` is newer than `other` (RFC 1982 section 3.2).
pub fn is_newer(one: u32, other: u32) -> bool {
    // Half the space apart, neither is: the difference is then the smallest number.
    one.wrapping_sub(other) as i32 > 0
}

impl<'a> From<RecordRef<'a>> for NewRecord<'a> {
    fn from(record: RecordRef<'a>) -> Self {
        let RecordRef { owner, rtype, class, ttl, rdata } = record;
        Self { owner, class, ttl, rdata: Rdata::Other(rtype, rdata) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_compared_in_their_circle() {
        assert!(is_newer(1, 0) && is_newer(0, u32::MAX) && is_newer(0x8000_0000, 1));
        assert!(!is_newer(0, 0) && !is_newer(0, 1) && !is_newer(0x8000_0001, 1));
        assert!(!is_newer(1, 0x8000_0001));
    }
}
