//! Loads a zone from a master file. The file is streamed; only the zone stays in memory.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::path::Path;

use files::versions::{Stamp, Versions};
use wire::{Name, Rtype};
use zone::digest::{self, Verdict};
use zone::master::{self, Options, Refusal, ZoneError};
use zone::{Builder, Zone};

use crate::included::{Included, MAX_FILE};

/// A zone, and the versions of its files.
pub struct Loaded {
    /// The zone.
    pub zone: Zone,
    /// The master file first, then the files that it includes.
    pub versions: Versions,
    /// The records that are skipped, or served in another form than they are written in.
    pub warnings: Warnings,
    /// A digest of the master file without the files that it includes.
    pub digest: u64,
}

/// Records that are skipped, or served in another form than they are written in.
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    /// The first few.
    pub shown: Vec<ZoneError>,
    /// The number of all warnings.
    pub count: usize,
}

impl Warnings {
    /// Adds what is wrong with the ZONEMD records (RFC 8976) of a zone, if none of them verifies it.
    fn add_digest(&mut self, zone: &Zone, file: &str) {
        let Verdict::Failed(faults) = digest::verify(zone) else { return };
        self.count += faults.len();
        self.shown.extend(faults.into_iter().map(|fault| {
            ZoneError {
                file: file.to_owned(),
                message: fault.to_string(),
                help: Some(
                    "the zone serves; write the record anew with `catena zone format --zonemd`"
                        .to_owned(),
                ),
                ..ZoneError::default()
            }
        }));
    }
}

/// The reason why no zone was loaded.
#[derive(Debug)]
pub enum Problem {
    /// The file cannot be opened.
    Open(io::Error),
    /// The text has mistakes, or its records do not form a zone.
    Text(Vec<ZoneError>),
}

/// A failed load.
#[derive(Debug)]
pub struct Failed {
    /// The reason.
    pub problem: Problem,
    /// The versions of all files, including those that could not be opened.
    pub versions: Versions,
}

/// Reads the zone `origin` from the file. Blocking I/O: not for a worker.
///
/// # Errors
/// The file cannot be opened, or has mistakes.
pub fn load(path: &Path, origin: &Name) -> Result<Loaded, Failed> {
    // The stamp is taken first, so that the next check detects a change during the read.
    let stamp = Stamp::of(path);
    let shown = path.display().to_string();
    let includes = Included::new(path, &shown);
    includes.note(path, stamp.as_ref().ok().copied());
    let options = Options { file: &shown, ..Options::new(origin) };
    let read = stamp
        .map_err(Problem::Open)
        .and_then(|stamp| zone(path, stamp.size(), &options, &includes));
    let versions = includes.into_versions();
    match read {
        Ok((zone, warnings, digest)) => Ok(Loaded { zone, versions, warnings, digest }),
        Err(problem) => Err(Failed { problem, versions }),
    }
}

fn zone(
    path: &Path,
    size: u64,
    options: &Options<'_>,
    includes: &Included,
) -> Result<(Zone, Warnings, u64), Problem> {
    let file = files::open(path, MAX_FILE).map_err(Problem::Open)?;
    let mut source = Digesting { file, digest: DefaultHasher::new() };
    let mut builder = Builder::new(options.origin, size);
    // CoreDNS silently accepts records outside the zone, and never answers with them.
    let findings = master::read_through(&mut source, options, includes, &mut |record| {
        builder.add(record).map_err(Refusal::LeftOut)
    });
    if !findings.errors.is_empty() {
        return Err(Problem::Text(findings.errors));
    }
    let mut warnings = Warnings { count: findings.warned(), shown: findings.warnings };
    match builder.finish() {
        Ok(zone) => {
            warnings.add_digest(&zone, options.file);
            Ok((zone, warnings, source.digest.finish()))
        }
        Err(unfit) => {
            let mut again = files::open(path, MAX_FILE).map_err(Problem::Open)?;
            let places = includes.again();
            Err(Problem::Text(zone::locate(&unfit, &mut again, options, &places)))
        }
    }
}

/// The serial of the first SOA record in the file. The rest of the file is not read.
pub(crate) fn serial(path: &Path, origin: &Name) -> io::Result<Option<u32>> {
    let found = Cell::new(None);
    let shown = path.display().to_string();
    let options = Options { file: &shown, ..Options::new(origin) };
    let mut source = UntilFound { file: files::open(path, MAX_FILE)?, found: &found };
    // The real load reports errors; here the text ends early in any case.
    let _ = master::read(&mut source, &options, &Included::new(path, &shown), &mut |record| {
        if record.rtype == Rtype::SOA && found.get().is_none() {
            found.set(record.soa_serial());
        }
        Ok(())
    });
    Ok(found.get())
}

/// The digest of a master file, as [`Loaded`] has it.
pub(crate) fn text_digest(path: &Path) -> io::Result<u64> {
    let file = files::open(path, MAX_FILE)?;
    let mut source = Digesting { file, digest: DefaultHasher::new() };
    io::copy(&mut source, &mut io::sink())?;
    Ok(source.digest.finish())
}

/// Computes a digest of what is read. It tells whether a file has changed, not whether it is genuine.
struct Digesting {
    file: files::Reader,
    digest: DefaultHasher,
}

impl Read for Digesting {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.digest.write(&into[..count]);
        Ok(count)
    }
}

/// A reader that ends once the serial is found.
struct UntilFound<'a> {
    file: files::Reader,
    found: &'a Cell<Option<u32>>,
}

impl Read for UntilFound<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.found.get().is_some() { Ok(0) } else { self.file.read(into) }
    }
}

/// An I/O error in CoreDNS's words.
pub fn io_error_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}
