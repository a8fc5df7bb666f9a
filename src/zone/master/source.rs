//! The ways to read a master file: from a source or from memory, all of it or only places.

use std::io::Read;

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
