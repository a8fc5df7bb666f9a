//! Master files (RFC 1035 section 5): text to records, and RDATA between text and wire form.
//!
//! A file is read through one fixed buffer, entry by entry; an entry is a line, or several when
//! parentheses or quotes join them. One lexer and one table of RDATA fields serve plain and odd
//! lines alike, and no record costs an allocation.
//!
//! It must never know: what a zone is. The receiver of the records checks for names outside of the zone, several
//! SOA records and the like. Files are opened through [`Includes`].

mod error;
mod fault;
mod generate;
mod lexer;
mod number;
mod options;
mod rdata;
mod reader;
mod strings;

use std::io::Read;

use wire::{Class, Name, Rtype};

pub use error::ZoneError;
pub use options::{
    FALLBACK_TTL, Findings, INCLUDE_DEPTH, Includes, MAX_ERRORS, MAX_WARNINGS, NoIncludes, Options,
    Refusal,
};

use rdata::{fields, present, schema};

use crate::RecordRef;

/// Reads a master file and hands each record to `each`, whose refusal becomes an error or a warning at
/// that record. Memory stays flat however long the file is.
///
/// Records that stand after an error are still handed over, so the caller must throw away what it
/// built when there are errors.
pub fn read_through(
    source: &mut dyn Read,
    options: &Options<'_>,
    includes: &dyn Includes,
    each: &mut dyn FnMut(RecordRef<'_>) -> Result<(), Refusal>,
) -> Findings {
    reader::read(source, options, includes, reader::BUFFER, each)
}

/// Reads a master file as [`read_through`] does, for receivers that leave nothing out. Returns the warnings:
/// text that is not served as it is written.
///
/// # Errors
/// All mistakes up to [`Options::max_errors`].
pub fn read(
    source: &mut dyn Read,
    options: &Options<'_>,
    includes: &dyn Includes,
    each: &mut dyn FnMut(RecordRef<'_>) -> Result<(), String>,
) -> Result<Vec<ZoneError>, Vec<ZoneError>> {
    let mut each = |record: RecordRef<'_>| each(record).map_err(Refusal::Mistake);
    result(reader::read(source, options, includes, reader::BUFFER, &mut each))
}

fn result(findings: Findings) -> Result<Vec<ZoneError>, Vec<ZoneError>> {
    if findings.errors.is_empty() { Ok(findings.warnings) } else { Err(findings.errors) }
}

/// The places of those records that `wanted` picks, in the order of the file: errors without a
/// message. Of the records that one `$GENERATE` makes only the first has one.
pub fn places(
    source: &mut dyn Read,
    options: &Options<'_>,
    includes: &dyn Includes,
    wanted: &mut dyn FnMut(RecordRef<'_>) -> bool,
) -> Vec<ZoneError> {
    let mut each = |record: RecordRef<'_>| match wanted(record) {
        true => Err(Refusal::Mistake(String::new())),
        false => Ok(()),
    };
    let mut found = reader::read(source, options, includes, reader::BUFFER, &mut each).errors;
    // What cannot be read has words.
    found.retain(|error| error.message.is_empty());
    found
}

/// Reads a master file that is in memory; `$INCLUDE` is refused.
pub fn parse_text(
    text: &str,
    options: &Options<'_>,
    each: &mut dyn FnMut(RecordRef<'_>) -> Result<(), String>,
) -> Result<Vec<ZoneError>, Vec<ZoneError>> {
    // Room for all of it, and for seeing that it ends.
    let buffer = (text.len() + 1).min(reader::BUFFER);
    let mut each = |record: RecordRef<'_>| each(record).map_err(Refusal::Mistake);
    result(reader::read(&mut text.as_bytes(), options, &NoIncludes, buffer, &mut each))
}

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
