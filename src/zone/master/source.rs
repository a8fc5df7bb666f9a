//! The ways to read a master file: from a source or from memory, all of it or only places.

use std::io::Read;

use wire::{Name, Rtype};

use super::error::ZoneError;
use super::options::{Findings, Includes, NoIncludes, Options, Refusal};
use super::reader;
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
/// message. The records that one `$GENERATE` makes have its place.
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

/// The owner of the first SOA record, if the text has one and says the whole name of it, by itself or with
/// `$ORIGIN`. What follows is not read. The origin of `options` counts for nothing.
pub fn soa_owner(
    source: &mut dyn Read,
    options: &Options<'_>,
    includes: &dyn Includes,
) -> Option<Name> {
    // Relative names end in a name that no text has.
    let unknown = Name::from_wire(b"\x01\0\x07unknown\0").ok()?;
    let options = Options { origin: &unknown, max_errors: 1, ..*options };
    let mut found = None;
    reader::read(source, &options, includes, reader::BUFFER, &mut |record| {
        if record.rtype != Rtype::SOA {
            return Ok(());
        }
        found = Name::from_wire(record.owner).ok();
        // An error ends the reading.
        Err(Refusal::Mistake(String::new()))
    });
    found.filter(|owner| !owner.is_under(&unknown))
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
