//! The files that a master file includes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use files::versions::{Stamp, Versions};
use zone::master::Includes;

/// The largest size of a master file and of an included file.
pub(crate) const MAX_FILE: u64 = 64 << 30;

/// Opens the files that a master file includes. As in CoreDNS, their paths are relative to the including file.
pub struct Included {
    /// The path of each file, by its name in errors.
    places: RefCell<HashMap<String, PathBuf>>,
    opened: RefCell<Versions>,
    /// The folder of the master file.
    top: PathBuf,
}

impl Included {
    /// Opens what the master file at `path` includes; messages call that file `shown`.
    pub fn new(path: &Path, shown: &str) -> Self {
        let places = HashMap::from([(shown.to_owned(), path.to_owned())]);
        let top = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
        Self { places: RefCell::new(places), opened: RefCell::default(), top }
    }

    /// Whether a file was included.
    pub fn is_used(&self) -> bool {
        self.places.borrow().len() > 1
    }

    /// The same state for another read of the same file.
    pub(crate) fn again(&self) -> Self {
        let (places, top) = (self.places.clone(), self.top.clone());
        Self { places, opened: RefCell::default(), top }
    }

    /// Notes the version of a file that was opened elsewhere.
    pub(crate) fn note(&self, path: &Path, stamp: Option<Stamp>) {
        self.opened.borrow_mut().add(path, stamp);
    }

    /// The versions of all files.
    pub(crate) fn into_versions(self) -> Versions {
        self.opened.into_inner()
    }

    fn place(&self, path: &str, from: &str) -> PathBuf {
        let places = self.places.borrow();
        let directory =
            places.get(from).and_then(|from| from.parent()).unwrap_or_else(|| Path::new(""));
        directory.join(path)
    }
}

impl Includes for Included {
    fn open(&self, path: &str, from: &str) -> io::Result<Box<dyn Read>> {
        let place = self.place(path, from);
        let stamp = Stamp::of(&place);
        // A missing file is a version, too: the zone is loaded again when the file appears.
        self.note(&place, stamp.as_ref().ok().copied());
        stamp?;
        let file = files::open(&place, MAX_FILE)?;
        self.places.borrow_mut().insert(place.display().to_string(), place);
        Ok(Box::new(file))
    }

    fn name(&self, path: &str, from: &str) -> String {
        self.place(path, from).display().to_string()
    }

    fn doubt(&self, path: &str, from: &str) -> Option<(String, String)> {
        let place = self.place(path, from);
        if files::is_below(&place, &self.top) {
            return None;
        }
        let message = format!("`{}` lies outside of the folder of the zone file", place.display());
        Some((message, "put it beside the zone file, or below".to_owned()))
    }
}
