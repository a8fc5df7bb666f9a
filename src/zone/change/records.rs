//! A list of records in wire form, one after the other, as a transfer without compression has them.

use wire::{Class, Rtype, name};

use crate::RecordRef;

/// Records in wire form. A record takes its own bytes and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordList {
    bytes: Vec<u8>,
    count: usize,
}

impl RecordList {
    /// Adds a record. Its owner and the names in its RDATA are uncompressed.
    pub fn push(&mut self, record: RecordRef<'_>) {
        self.bytes.extend_from_slice(record.owner);
        self.bytes.extend_from_slice(&record.rtype.0.to_be_bytes());
        self.bytes.extend_from_slice(&record.class.0.to_be_bytes());
        self.bytes.extend_from_slice(&record.ttl.to_be_bytes());
        self.bytes.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(record.rdata);
        self.count += 1;
    }

    /// Reads a list that [`RecordList::as_wire`] gave, and checks it. `None` if it is no list of whole
    /// records.
    pub fn from_wire(bytes: Vec<u8>) -> Option<Self> {
        let mut rest = bytes.as_slice();
        let mut count = 0;
        while !rest.is_empty() {
            (_, rest) = split(rest)?;
            count += 1;
        }
        Some(Self { bytes, count })
    }

    /// The records, one after the other: owner, type, class, TTL, length and RDATA, nothing compressed.
    pub fn as_wire(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The records in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = RecordRef<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (record, after) = split(rest)?;
            rest = after;
            Some(record)
        })
    }

    /// The records from an offset of [`RecordList::as_wire`] on, where one begins, each with the offset
    /// of the next.
    pub(crate) fn iter_from(&self, offset: usize) -> impl Iterator<Item = (RecordRef<'_>, usize)> {
        let mut rest = self.bytes.get(offset..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (record, after) = split(rest)?;
            rest = after;
            Some((record, self.bytes.len() - after.len()))
        })
    }
}

/// The first record, and the bytes after it.
fn split(bytes: &[u8]) -> Option<(RecordRef<'_>, &[u8])> {
    let (owner, rest) = bytes.split_at_checked(name::wire_len(bytes)?)?;
    let (fixed, rest) = rest.split_first_chunk::<10>()?;
    let number = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let (rdata, rest) = rest.split_at_checked(usize::from(number(8)))?;
    let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    let (rtype, class) = (Rtype(number(0)), Class(number(2)));
    Some((RecordRef { owner, rtype, class, ttl, rdata }, rest))
}
