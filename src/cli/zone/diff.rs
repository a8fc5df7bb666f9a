//! `catena zone diff`: what two zones do not have in common.

use std::fmt::Write;
use std::process::ExitCode;
use std::rc::Rc;

use corefile::counted;
use serde_json::json;
use wire::{Name, Rtype};
use zone::listing::canonical_order;
use zone::master::{self, Options, Refusal, ZoneError};
use zone::text::record_line;
use zone::{Builder, Changes, RecordRef, Zone};

use super::progress::Progress;
use super::source::Text;
use crate::cli::args::{Source, ZoneDiff};
use crate::cli::json;
use crate::cli::output::{self, complain};

/// Compares two zones and prints the difference.
///
/// # Errors
/// A file cannot be read as a zone: the message.
pub(super) fn diff(options: &ZoneDiff) -> Result<ExitCode, String> {
    let progress = Progress::new();
    let both = load(&options.from, options, &progress)
        .and_then(|from| Ok((from, load(&options.to, options, &progress)?)));
    progress.end();
    let (from, to) = both?;
    if !wire::name::eq(from.apex().as_wire(), to.apex().as_wire()) {
        return Err(format!("these are two zones: `{}` and `{}`", from.apex(), to.apex()));
    }
    let changes = from.difference(&to);
    let (removed, added) = compared(&changes, options);
    let code = match removed.is_empty() && added.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    };
    warn_of_serial(&from, &to, options, code == ExitCode::FAILURE);
    let out = match options.json {
        true => as_json((&from, &to), &removed, &added, options),
        false => as_text((&from, &to), &removed, &added, options),
    };
    Ok(output::print(&out, code))
}

/// Loads one of the zones.
fn load(source: &Source, options: &ZoneDiff, progress: &Rc<Progress>) -> Result<Zone, String> {
    let text = Text::of(source, progress)?;
    let origin = text.origin(options.origin.as_ref())?;
    let read = Options { file: text.shown(), ..Options::new(&origin) };
    let mut source = text.open().map_err(|error| text.cannot_open(&error))?;
    let mut builder = Builder::new(&origin, 0);
    let findings = master::read_through(&mut *source, &read, text.includes(), &mut |record| {
        // Without an SOA record it would be no zone.
        if record.rtype != Rtype::SOA && options.ignore.contains(&record.rtype) {
            return Ok(());
        }
        builder.add(record).map_err(Refusal::LeftOut)
    });
    for warning in &findings.warnings {
        complain(format_args!("{warning}: {}", warning.label));
    }
    if !findings.errors.is_empty() {
        return Err(lines(&findings.errors));
    }
    builder.finish().map_err(|unfit| match text.open() {
        Ok(mut again) => lines(&zone::locate(&unfit, &mut *again, &read, text.includes())),
        Err(error) => text.cannot_open(&error),
    })
}

fn lines(errors: &[ZoneError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let first = errors.first().map_or("FILE", |error| error.file.as_str());
    format!("{}\n`catena zone check {first}` says more", lines.join("\n"))
}

/// The records that count, in canonical order.
fn compared<'c>(
    changes: &'c Changes,
    options: &ZoneDiff,
) -> (Vec<RecordRef<'c>>, Vec<RecordRef<'c>>) {
    let counts = |record: &RecordRef<'_>| !options.ignore.contains(&record.rtype);
    let mut removed: Vec<RecordRef<'_>> = changes.removed().iter().filter(counts).collect();
    let mut added: Vec<RecordRef<'_>> = changes.added().iter().filter(counts).collect();
    if options.ignore_serial {
        let soa = |all: &[RecordRef<'_>]| {
            let soa = all.iter().find(|record| record.rtype == Rtype::SOA)?;
            Some((soa.ttl, without_serial(soa.rdata)))
        };
        if soa(&removed).is_some() && soa(&removed) == soa(&added) {
            removed.retain(|record| record.rtype != Rtype::SOA);
            added.retain(|record| record.rtype != Rtype::SOA);
        }
    }
    removed.sort_by(|a, b| canonical_order(*a, *b));
    added.sort_by(|a, b| canonical_order(*a, *b));
    (removed, added)
}

/// The RDATA of an SOA record, in lower case, with the serial 0. The five numbers at its end have no case.
fn without_serial(rdata: &[u8]) -> Vec<u8> {
    let mut out = rdata.to_vec();
    let numbers = out.len().saturating_sub(20);
    out[..numbers].make_ascii_lowercase();
    if let Some(serial) = out.get_mut(numbers..numbers + 4) {
        serial.fill(0);
    }
    out
}

/// A secondary takes a change only if the serial increases (RFC 1982).
fn warn_of_serial(from: &Zone, to: &Zone, options: &ZoneDiff, differs: bool) {
    let (before, after) = (from.serial(), to.serial());
    let increases = zone::is_newer(after, before);
    let ignored = options.ignore_serial || options.ignore.contains(&Rtype::SOA);
    if differs && !increases && !ignored {
        complain(format_args!(
            "warning: the serial does not increase from {before} to {after}: secondaries would not \
             take the change"
        ));
    }
}

fn as_text(
    (from, to): (&Zone, &Zone),
    removed: &[RecordRef<'_>],
    added: &[RecordRef<'_>],
    options: &ZoneDiff,
) -> String {
    let mut out = String::new();
    if removed.is_empty() && added.is_empty() {
        return out;
    }
    let zone: &Name = from.apex();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "--- {} ({zone} {})", options.from.shown(), from.serial());
    let _ = writeln!(out, "+++ {} ({zone} {})", options.to.shown(), to.serial());
    let (mut removed, mut added) = (removed.iter().peekable(), added.iter().peekable());
    loop {
        // Both in one order; of one set what goes stands before what comes.
        let first = match (removed.peek(), added.peek()) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(gone), Some(come)) => {
                let (gone, come) = (**gone, **come);
                let none: &[u8] = &[];
                let set = |record| RecordRef { rdata: none, ..record };
                canonical_order(set(gone), set(come)).is_le()
            }
        };
        let (sign, record) = if first { ('-', removed.next()) } else { ('+', added.next()) };
        if let Some(record) = record {
            let _ = writeln!(out, "{sign}{}", record_line(*record));
        }
    }
    out
}

fn as_json(
    (from, to): (&Zone, &Zone),
    removed: &[RecordRef<'_>],
    added: &[RecordRef<'_>],
    options: &ZoneDiff,
) -> String {
    let records =
        |all: &[RecordRef<'_>]| all.iter().map(|one| json::record(*one)).collect::<Vec<_>>();
    let value = json!({
        "zone": from.apex().to_string(),
        "from": { "file": options.from.shown(), "serial": from.serial() },
        "to": { "file": options.to.shown(), "serial": to.serial() },
        "equal": removed.is_empty() && added.is_empty(),
        "summary": format!(
            "{}, {}",
            counted(removed.len() as u64, "record removed", "records removed"),
            counted(added.len() as u64, "record added", "records added")
        ),
        "removed": records(removed),
        "added": records(added),
    });
    format!("{value:#}\n")
}
