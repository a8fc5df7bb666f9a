//! Master files (RFC 1035 section 5): text to records, and RDATA between text and wire form.
//!
//! A file is read through one fixed buffer, entry by entry; an entry is a line, or several when
//! parentheses or quotes join them. One lexer and one table of RDATA fields serve plain and odd
//! lines alike, and no record costs an allocation.
//!
//! It must never know: what a zone is. Names outside the zone, several SOA records and the like are
//! the business of whoever receives the records. Files are opened through [`Includes`].

mod base;
mod error;
mod fields;
mod generate;
mod lexer;
mod number;
mod reader;
mod schema;
mod show;
mod special;
mod svcb;
mod words;

use std::io::{self, Read};

use wire::{Class, Name, Rtype};

pub use error::ZoneError;

use crate::RecordRef;

/// The TTL of a record when neither it nor anything before it says one, as in CoreDNS.
pub const FALLBACK_TTL: u32 = 3600;
/// How deep `$INCLUDE` may nest unless [`Options::include_depth`] says otherwise.
pub const INCLUDE_DEPTH: u32 = 10;
/// After how many errors reading stops unless [`Options::max_errors`] says otherwise.
pub const MAX_ERRORS: usize = 20;
/// How many warnings have a place; more are counted.
pub const MAX_WARNINGS: usize = 10;

/// How to read a master file.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// What relative names are relative to until `$ORIGIN` says otherwise.
    pub origin: &'a Name,
    /// The TTL in force before the first `$TTL`.
    pub default_ttl: Option<u32>,
    /// The name of the file, for messages and as `from` of [`Includes::open`].
    pub file: &'a str,
    /// How deep `$INCLUDE` may nest.
    pub include_depth: u32,
    /// After how many errors reading stops.
    pub max_errors: usize,
}

impl<'a> Options<'a> {
    /// The usual options for a text without a file.
    pub fn new(origin: &'a Name) -> Self {
        Self {
            origin,
            default_ttl: None,
            file: "<text>",
            include_depth: INCLUDE_DEPTH,
            max_errors: MAX_ERRORS,
        }
    }
}

/// Opens the files that `$INCLUDE` names.
pub trait Includes {
    /// Opens `path` as it is written in the file `from`.
    fn open(&self, path: &str, from: &str) -> io::Result<Box<dyn Read>>;

    /// What the file is called in errors, and as `from` by the files that it includes in turn.
    fn name(&self, path: &str, from: &str) -> String {
        let _ = from;
        path.to_owned()
    }
}

/// Refuses every `$INCLUDE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoIncludes;

impl Includes for NoIncludes {
    fn open(&self, _path: &str, _from: &str) -> io::Result<Box<dyn Read>> {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "`$INCLUDE` is not allowed here"))
    }
}

/// Why a receiver does not take a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is wrong, and with it the file.
    Mistake(String),
    /// It is left out: a warning. The others may do without it.
    LeftOut(String),
}

/// What was found in a master file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong with it, up to [`Options::max_errors`].
    pub errors: Vec<ZoneError>,
    /// Where its records are not what is served: the first [`MAX_WARNINGS`].
    pub warnings: Vec<ZoneError>,
    /// How many warnings there are.
    pub warned: usize,
}

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
    show::text(rtype, rdata).unwrap_or_else(|| show::generic(rdata))
}

/// Whether the bytes are RDATA as the type asks for it; a type that is not known takes any.
pub fn rdata_is_valid(rtype: Rtype, rdata: &[u8]) -> bool {
    schema::of(rtype).is_none() || show::text(rtype, rdata).is_some()
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
