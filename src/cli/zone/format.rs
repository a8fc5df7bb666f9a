//! `catena zone format`: a zone in canonical order and in columns.

use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::process::ExitCode;

use wire::{Class, Name, Rtype};
use zone::digest;
use zone::master::{self, Options, Refusal};
use zone::text::write_zone;
use zone::{Lister, Listing, RecordRef};

use super::progress::Progress;
use super::source::Text;
use crate::cli::args::ZoneFormat;
use crate::cli::json;
use crate::cli::output::complain;

/// Formats a file.
///
/// # Errors
/// A file cannot be read as a zone: the message.
pub(super) fn format(options: &ZoneFormat) -> Result<ExitCode, String> {
    let progress = Progress::new();
    let text = Text::of(&options.source, &progress)?;
    let origin = text.origin(options.origin.as_ref())?;
    let read = Options { file: text.shown(), ..Options::new(&origin) };
    let mut lister = Lister::new();
    let mut source = text.open().map_err(|error| text.cannot_open(&error))?;
    let findings = master::read_through(&mut *source, &read, text.includes(), &mut |record| {
        let replaced = options.zonemd.is_some() && is_digest(record, &origin);
        if replaced { Ok(()) } else { lister.add(record).map_err(Refusal::Mistake) }
    });
    if !findings.errors.is_empty() {
        progress.end();
        let lines: Vec<String> = findings.errors.iter().map(ToString::to_string).collect();
        return Err(format!("{}\nnothing is formatted", lines.join("\n")));
    }
    let mut listing = lister.list();
    if let Some(algorithm) = options.zonemd {
        listing = with_digest(&listing, &origin, algorithm)?;
    }
    progress.end();
    if options.check {
        return compared(&listing, &origin, &text);
    }
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let written = match options.json {
        true => write_json(&listing, &origin, &mut out),
        false => write_zone(&listing, &origin, &mut out),
    };
    match written.and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // The reader has gone away: see `output`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(format!("cannot write the output: {error}")),
    }
}

fn is_digest(record: RecordRef<'_>, origin: &Name) -> bool {
    record.rtype == Rtype::ZONEMD && wire::name::eq(record.owner, origin.as_wire())
}

/// The records with the digest of the zone. RFC 8976 section 3.1: a signed zone needs a placeholder before it is
/// signed, and a signature of the digest after, so only its signer can add one.
fn with_digest(
    listing: &Listing,
    origin: &Name,
    algorithm: digest::Algorithm,
) -> Result<Listing, String> {
    let apex = listing.name(origin.as_wire());
    if apex.is_some_and(|apex| apex.has(Rtype::RRSIG)) {
        let help = "let its signer write the ZONEMD record";
        return Err(format!("zone `{origin}` is signed, and its digest needs a signature: {help}"));
    }
    let Some(record) = digest::zonemd(listing, origin, algorithm) else {
        return Err(format!("zone `{origin}` has no SOA record: a digest is for a serial"));
    };
    let mut lister = Lister::new();
    for listed in listing.records() {
        lister.add(listed.record)?;
    }
    lister.add(record.as_ref())?;
    Ok(lister.list())
}

/// Whether the text of the file is what formatting would print.
fn compared(listing: &Listing, origin: &Name, text: &Text) -> Result<ExitCode, String> {
    let mut comparison = Comparison {
        source: text.open().map_err(|error| text.cannot_open(&error))?,
        buffer: Vec::new(),
        line: 1,
        same: true,
    };
    let written = write_zone(listing, origin, &mut comparison);
    written.map_err(|error| text.cannot_open(&error))?;
    let more = comparison.source.read(&mut [0]).map_err(|error| text.cannot_open(&error))?;
    if comparison.same && more == 0 && !text.includes().is_used() {
        return Ok(ExitCode::SUCCESS);
    }
    let (file, line) = (text.shown(), comparison.line);
    complain(format_args!(
        "{file}:{line}: is not formatted: `catena zone format {file}` prints it"
    ));
    Ok(ExitCode::FAILURE)
}

/// A writer that compares what is written with a text.
struct Comparison {
    source: Box<dyn Read>,
    buffer: Vec<u8>,
    /// The line on which both differ.
    line: usize,
    same: bool,
}

impl Write for Comparison {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        if !self.same {
            return Ok(written.len());
        }
        self.buffer.resize(written.len(), 0);
        let mut filled = 0;
        while filled < written.len() {
            match self.source.read(&mut self.buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        let equal = written.iter().zip(&self.buffer[..filled]).take_while(|(a, b)| a == b).count();
        self.line += written[..equal].iter().filter(|byte| **byte == b'\n').count();
        self.same = equal == written.len();
        Ok(written.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The records, one a line, so that a long zone can be read line by line.
fn write_json(listing: &Listing, origin: &Name, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{{\"zone\": {}, \"records\": [", serde_json::json!(origin.to_string()))?;
    let mut last = None;
    let mut between = "";
    for listed in listing.records().filter(|listed| listed.record.class == Class::IN) {
        let again = last.replace(listed).is_some_and(|last: zone::Listed<'_>| {
            last.same(&listed) && last.record.ttl == listed.record.ttl
        });
        if !again {
            write!(out, "{between}{}", json::record(listed.record))?;
            between = ",\n";
        }
    }
    writeln!(out, "\n]}}")
}
