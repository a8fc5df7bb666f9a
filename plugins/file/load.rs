//! From a master file to a zone. The file streams through; only the zone itself stays in memory.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wire::{Name, Rtype, name};
use zone::master::{self, Includes, Options, ZoneError};
use zone::{Builder, Zone};

/// The most records left out that are named.
const MAX_NAMED: usize = 10;

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    /// A file that was replaced, not written to, has another number.
    inode: u64,
}

impl Stamp {
    /// That of the file as it is now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let data = fs::metadata(path)?;
        Ok(Self { modified: data.modified().ok(), size: data.len(), inode: data.ino() })
    }
}

/// A zone, and what it was read from.
pub(super) struct Loaded {
    pub(super) zone: Zone,
    /// The master file first, then what it includes.
    pub(super) stamps: Vec<(PathBuf, Stamp)>,
    /// Records that are not part of the zone, in words: the first few, then how many more.
    pub(super) left_out: Vec<String>,
}

/// Why there is no zone.
#[derive(Debug)]
pub(super) enum Problem {
    /// The file cannot be opened.
    Open(io::Error),
    /// The text is wrong.
    Text(Vec<ZoneError>),
    /// The records do not make a zone.
    Zone(Vec<String>),
}

/// Reads the zone `origin` from the file.
pub(super) fn load(path: &Path, origin: &Name) -> Result<Loaded, Problem> {
    // The stamp is taken first: a change while reading is then seen as one at the next look.
    let stamp = Stamp::of(path).map_err(Problem::Open)?;
    let mut source = File::open(path).map_err(Problem::Open)?;
    let shown = path.display().to_string();
    let options = Options { file: &shown, ..Options::new(origin) };
    let includes = Files::new(path, &shown);
    let mut builder = Builder::new(origin, stamp.size);
    let mut left_out = Vec::new();
    let mut more = 0u64;
    master::read(&mut source, &options, &includes, &mut |record| {
        // CoreDNS takes what lies outside the zone without a word and never answers with it.
        match builder.add(record) {
            Err(why) if left_out.len() < MAX_NAMED => left_out.push(why),
            Err(_) => more += 1,
            Ok(_) => {}
        }
        Ok(())
    })
    .map_err(Problem::Text)?;
    if more > 0 {
        left_out
            .push(format!("{} like these", corefile::counted(more, "more record", "more records")));
    }
    let zone = builder.finish().map_err(Problem::Zone)?;
    let mut stamps = vec![(path.to_owned(), stamp)];
    stamps.append(&mut includes.opened.into_inner());
    Ok(Loaded { zone, stamps, left_out })
}

/// The serial of the first SOA record in the file; nothing behind it is read.
pub(super) fn serial(path: &Path, origin: &Name) -> io::Result<Option<u32>> {
    let found = Cell::new(None);
    let shown = path.display().to_string();
    let options = Options { file: &shown, ..Options::new(origin) };
    let mut source = UntilFound { file: File::open(path)?, found: &found };
    // Errors are for the real load to report; the text is cut off here in any case.
    let _ = master::read(&mut source, &options, &Files::new(path, &shown), &mut |record| {
        if record.rtype == Rtype::SOA && found.get().is_none() {
            found.set(soa_serial(record.rdata));
        }
        Ok(())
    });
    Ok(found.get())
}

/// RFC 1035 section 3.3.13: two names, then the serial.
fn soa_serial(rdata: &[u8]) -> Option<u32> {
    let first = name::wire_len(rdata)?;
    let second = name::wire_len(rdata.get(first..)?)?;
    rdata.get(first + second..)?.first_chunk().map(|serial| u32::from_be_bytes(*serial))
}

/// A file that ends once the serial is found.
struct UntilFound<'a> {
    file: File,
    found: &'a Cell<Option<u32>>,
}

impl Read for UntilFound<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.found.get().is_some() { Ok(0) } else { self.file.read(into) }
    }
}

/// Opens included files: relative to the file that names them, as in CoreDNS.
struct Files {
    /// Where each file lies that was opened, by its name as it was written.
    places: RefCell<HashMap<String, PathBuf>>,
    opened: RefCell<Vec<(PathBuf, Stamp)>>,
}

impl Files {
    fn new(path: &Path, shown: &str) -> Self {
        let places = HashMap::from([(shown.to_owned(), path.to_owned())]);
        Self { places: RefCell::new(places), opened: RefCell::default() }
    }
}

impl Includes for Files {
    fn open(&self, path: &str, from: &str) -> io::Result<Box<dyn Read>> {
        let mut places = self.places.borrow_mut();
        let directory =
            places.get(from).and_then(|from| from.parent()).unwrap_or_else(|| Path::new(""));
        let place = directory.join(path);
        let stamp = Stamp::of(&place)?;
        let file = File::open(&place)?;
        self.opened.borrow_mut().push((place.clone(), stamp));
        places.insert(path.to_owned(), place);
        Ok(Box::new(file))
    }
}

/// An error of the system in the words that CoreDNS has for it.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}
