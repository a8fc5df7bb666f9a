//! One record, or its RDATA, between text and wire form.

use wire::{Class, Name, Rtype};

use super::error::ZoneError;
use super::lexer;
use super::options::Options;
use super::rdata::{fields, present, schema};
use super::source::parse_text;
use crate::RecordRef;

/// A record with everything in wire form that owns its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Owner name.
    pub owner: Name,
    /// Type.
    pub rtype: Rtype,
    /// Class.
    pub class: Class,
    /// Time to live in seconds.
    pub ttl: u32,
    /// RDATA with uncompressed names.
    pub rdata: Vec<u8>,
}

impl OwnedRecord {
    /// The same record, borrowed.
    pub fn as_ref(&self) -> RecordRef<'_> {
        RecordRef {
            owner: self.owner.as_wire(),
            rtype: self.rtype,
            class: self.class,
            ttl: self.ttl,
            rdata: &self.rdata,
        }
    }
}

impl From<RecordRef<'_>> for OwnedRecord {
    fn from(record: RecordRef<'_>) -> Self {
        Self {
            owner: Name::from_wire(record.owner).unwrap_or_else(|_| Name::root()),
            rtype: record.rtype,
            class: record.class,
            ttl: record.ttl,
            rdata: record.rdata.to_vec(),
        }
    }
}

/// Reads one record, as it would stand in a master file.
pub fn record_from_line(
    text: &str,
    origin: &Name,
    default_ttl: u32,
) -> Result<OwnedRecord, ZoneError> {
    let mut options = Options::new(origin);
    options.default_ttl = Some(default_ttl);
    let mut found = None;
    let result = parse_text(text, &options, &mut |record| {
        if found.is_some() {
            return Err("only one record is allowed here".into());
        }
        found = Some(OwnedRecord::from(record));
        Ok(())
    });
    let first = match result {
        Ok(_) => None,
        Err(errors) => errors.into_iter().next(),
    };
    match (first, found) {
        (Some(error), _) => Err(error),
        (None, Some(record)) => Ok(record),
        (None, None) => Err(ZoneError::new(options.file, 1, 1, "expected a record", text)),
    }
}

/// The presentation form of RDATA: that of the type, or `\# length hex` (RFC 3597) when the type
/// has none or the bytes are not what it asks for.
pub fn rdata_to_text(rtype: Rtype, rdata: &[u8]) -> String {
    present::text(rtype, rdata).unwrap_or_else(|| present::generic(rdata))
}

/// Whether the bytes are RDATA as the type asks for it; a type that is not known takes any.
pub fn rdata_is_valid(rtype: Rtype, rdata: &[u8]) -> bool {
    schema::of(rtype).is_none() || present::text(rtype, rdata).is_some()
}

/// Reads RDATA in presentation form, generic form included.
pub fn rdata_from_text(rtype: Rtype, text: &str, origin: &Name) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut lexer = lexer::Lexer::new(text.as_bytes(), 0, true);
    let mut fields = fields::Fields { lexer: &mut lexer, origin: origin.as_wire() };
    let result = fields.rdata(rtype, &mut out).and_then(|()| lexer.end());
    match result {
        Ok(()) if lexer.at < text.len() => Err("a line break is not allowed here".into()),
        Ok(()) => Ok(out),
        Err(fault) => Err(fault.message.into()),
    }
}
