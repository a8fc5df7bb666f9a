//! Compares versions of a file without reading it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The metadata that distinguishes two versions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time of the last write, in nanoseconds since 1970.
    modified: i128,
    /// The time of the last change of content, owner or mode, which no program can set.
    changed: i128,
    size: u64,
    /// A replaced file has another inode.
    inode: u64,
    device: u64,
}

impl Stamp {
    /// The stamp of the present file. Touches the file system: never call it on a worker.
    ///
    /// Errors: those of the system, as for a file that is not there.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|data| Self::from(&data))
    }

    /// The time of the last write; `None` before 1970.
    pub fn modified(&self) -> Option<SystemTime> {
        let nanos = u64::try_from(self.modified).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
    }

    /// The size in octets.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl From<&fs::Metadata> for Stamp {
    fn from(data: &fs::Metadata) -> Self {
        let nanos =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            modified: nanos(data.mtime(), data.mtime_nsec()),
            changed: nanos(data.ctime(), data.ctime_nsec()),
            size: data.size(),
            inode: data.ino(),
            device: data.dev(),
        }
    }
}

/// The versions of several files at one time. A file without readable metadata has a version, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(Vec<(PathBuf, Option<Stamp>)>);

impl Versions {
    /// The present version of a file. Touches the file system.
    pub fn of(path: &Path) -> Self {
        let mut versions = Self::default();
        versions.add(path, Stamp::of(path).ok());
        versions
    }

    /// Adds a version.
    pub fn add(&mut self, path: &Path, stamp: Option<Stamp>) {
        self.0.push((path.to_owned(), stamp));
    }

    /// Whether there are files, and none has changed.
    pub fn are_current(&self) -> bool {
        let same = |(path, stamp): &(PathBuf, Option<Stamp>)| Stamp::of(path).ok() == *stamp;
        !self.0.is_empty() && self.0.iter().all(same)
    }

    /// The version of the first file.
    pub fn first(&self) -> Option<Stamp> {
        self.0.first().and_then(|(_, stamp)| *stamp)
    }

    /// Only the first file.
    #[must_use]
    pub fn first_only(mut self) -> Self {
        self.0.truncate(1);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_is_another_version() {
        let here = std::env::temp_dir().join(format!("catena-versions-{}", std::process::id()));
        fs::create_dir_all(&here).unwrap();
        let (file, other) = (here.join("a"), here.join("b"));
        let missing = Versions::of(&file);
        assert!(missing.are_current() && missing.first().is_none(), "not being there is a version");
        fs::write(&file, "1").unwrap();
        assert!(!missing.are_current());
        let before = Versions::of(&file);
        assert!(before.are_current(), "reading does not change it");
        assert_eq!(before.first().map(|stamp| stamp.size()), Some(1));
        // Same size, same time of writing.
        let written = before.first().and_then(|stamp| stamp.modified()).unwrap();
        fs::write(&other, "2").unwrap();
        fs::File::options().write(true).open(&other).unwrap().set_modified(written).unwrap();
        fs::rename(&other, &file).unwrap();
        assert!(!before.are_current(), "another file");
        assert!(!Versions::default().are_current(), "nothing was looked at");
        fs::remove_dir_all(&here).unwrap();
    }
}
