//! The files of one database.

use std::path::{Path, PathBuf};

use files::versions::Stamp;
use wire::Name;

use crate::error::Error;
use crate::format;

/// A longer name of a zone is shortened in file names, whose length is limited.
const MAX_STEM: usize = 180;

/// The root zone in file names: an octet that other names have as `%2E` within a label only.
const ROOT: &str = "%2E";

/// Where the database of a zone is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) origin: Name,
    stem: String,
}

/// The files that there are, and their versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) snapshot: Option<Stamp>,
    /// Whether a removal was begun.
    pub(crate) is_removed: bool,
    /// The numbers of the logs in ascending order.
    pub(crate) logs: Vec<(u64, Stamp)>,
}

impl Listing {
    /// Octets of all files.
    pub(crate) fn size(&self) -> u64 {
        let snapshot = self.snapshot.map_or(0, |stamp| stamp.size());
        snapshot + self.logs.iter().map(|(_, stamp)| stamp.size()).sum::<u64>()
    }
}

impl Place {
    pub(crate) fn new(directory: &Path, origin: &Name) -> Self {
        let origin = origin.to_lower();
        Self { directory: directory.to_owned(), stem: stem(&origin), origin }
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.directory.join(format!("{}.snapshot", self.stem))
    }

    /// The name of the snapshot while the database is removed.
    pub(crate) fn removed(&self) -> PathBuf {
        self.directory.join(format!("{}.removed", self.stem))
    }

    pub(crate) fn log(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{}.log.{number}", self.stem))
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.directory.join(format!("{}.lock", self.stem))
    }

    /// The files that there are now.
    pub(crate) fn listing(&self) -> Result<Listing, Error> {
        let failed = |error| Error::system("read the directory", &self.directory, &error);
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Listing::default());
            }
            Err(error) => return Err(failed(error)),
        };
        let mut found = Listing {
            snapshot: Stamp::of(&self.snapshot()).ok(),
            is_removed: Stamp::of(&self.removed()).is_ok(),
            logs: Vec::new(),
        };
        let prefix = format!("{}.log.", self.stem);
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            let Some(number) = digits.and_then(|digits| digits.parse().ok()) else { continue };
            // A log that the process that writes has removed meanwhile.
            if let Ok(stamp) = Stamp::of(&self.log(number)) {
                found.logs.push((number, stamp));
            }
        }
        found.logs.sort_unstable_by_key(|(number, _)| *number);
        Ok(found)
    }
}

/// The name of a zone as its files begin, for files of the caller beside them.
pub fn file_stem(origin: &Name) -> String {
    stem(&origin.to_lower())
}

/// The name of a zone as a part of a file name: letters, digits, `-`, `_` and dots stay, all else is
/// written as `%XX`.
fn stem(origin: &Name) -> String {
    let text = origin.to_string();
    let mut stem = String::new();
    for octet in text.strip_suffix('.').unwrap_or(&text).bytes() {
        match octet {
            b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_' | b'.' => stem.push(octet.into()),
            _ => stem.push_str(&format!("%{octet:02X}")),
        }
    }
    if stem.is_empty() {
        return ROOT.to_owned();
    }
    if stem.len() > MAX_STEM {
        stem.truncate(MAX_STEM);
        let sum = u64::from_be_bytes(format::sum(&[origin.as_wire()]));
        stem.push_str(&format!("~{sum:016x}"));
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_file_names() {
        let name = |text: &str| stem(&Name::from_text(text).unwrap());
        assert_eq!(name("example.org."), "example.org");
        assert_eq!(name("."), ROOT);
        assert_eq!(name("0/25.2.0.192.in-addr.arpa."), "0%2F25.2.0.192.in-addr.arpa");
        assert_eq!(name("a%b.c."), "a%25b.c");
        let long = name(&format!("{0}.{0}.{0}.a.", "x".repeat(63)));
        assert_eq!(long.len(), MAX_STEM + 17);
        assert_ne!(long, name(&format!("{0}.{0}.{0}.b.", "x".repeat(63))));
    }
}
