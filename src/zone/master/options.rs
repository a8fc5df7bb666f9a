//! How a master file is read, and what comes of it.

use std::collections::BTreeMap;
use std::io::{self, Read};

use wire::Name;

use super::error::ZoneError;

/// The TTL of a record when neither it nor anything before it says one, as in CoreDNS.
pub const FALLBACK_TTL: u32 = 3600;
/// How deep `$INCLUDE` may nest unless [`Options::include_depth`] says otherwise.
pub const INCLUDE_DEPTH: u32 = 10;
/// How many files `$INCLUDE` may read in all unless [`Options::include_count`] says otherwise.
pub const INCLUDE_COUNT: u32 = 1000;
/// After how many errors reading stops unless [`Options::max_errors`] says otherwise.
pub const MAX_ERRORS: usize = 20;
/// How many warnings of each check have a place unless [`Options::max_warnings`] says otherwise; more are counted.
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
    /// How many files `$INCLUDE` may read in all.
    pub include_count: u32,
    /// After how many errors reading stops.
    pub max_errors: usize,
    /// How many warnings have a place.
    pub max_warnings: usize,
}

impl<'a> Options<'a> {
    /// The usual options for a text without a file.
    pub fn new(origin: &'a Name) -> Self {
        Self {
            origin,
            default_ttl: None,
            file: "<text>",
            include_depth: INCLUDE_DEPTH,
            include_count: INCLUDE_COUNT,
            max_errors: MAX_ERRORS,
            max_warnings: MAX_WARNINGS,
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

    /// What is questionable about a file that was opened, such as that it lies outside of the folder of zones:
    /// a message and what to do. The reader adds the place.
    fn doubt(&self, path: &str, from: &str) -> Option<(String, String)> {
        let _ = (path, from);
        None
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
    /// Where its records are not what is served: the first [`Options::max_warnings`] of each check.
    pub warnings: Vec<ZoneError>,
    /// How many warnings there are, by the name of the check.
    pub warned: BTreeMap<&'static str, usize>,
}

impl Findings {
    /// How many warnings there are in all.
    pub fn warned(&self) -> usize {
        self.warned.values().sum()
    }

    /// Counts a warning, and says whether it is one to keep.
    pub(super) fn counts(&mut self, check: &'static str, most: usize) -> bool {
        let count = self.warned.entry(check).or_default();
        *count += 1;
        *count <= most
    }
}
