//! Writes whole files, so that readers find the old content or the new, never a part.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::lock::Lock;
use crate::read::refuse_special;

/// Separates the name of a file from the random part of a temporary name.
const MARK: &str = ".new-";
/// Hexadecimal digits of the random part.
const DIGITS: usize = 16;
/// Temporary names that are tried: one that exists means that 64 random bits were guessed.
const TRIES: usize = 4;
/// A fresh file of this age was left behind by a process that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// Writes the file: a new one beside its place with these octets and this mode, which is on the disk
/// before it takes its place. A symbolic link there is replaced, not followed.
///
/// # Errors
/// The path leads to a device, a pipe, a socket or a directory; or the system says why not. Then
/// what was there stays, and nothing is left behind.
pub fn replace(path: &Path, octets: &[u8], mode: u32) -> io::Result<()> {
    replace_with(path, mode, |file| file.write_all(octets))?;
    // The file is in place. Whether its name outlives a power failure is up to the file system where
    // directories cannot be synced.
    let _ = sync_directory(folder(path));
    Ok(())
}

/// Writes the file like [`replace`], with the octets that `write` puts into it, for content that is too
/// large for a buffer. Its name outlives a power failure after [`sync_directory`] only.
///
/// # Errors
/// Those of [`replace`], and those of `write`.
pub fn replace_with(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) => refuse_to_replace(&found)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut fresh = Fresh::create(path, mode)?;
    remove_fresh(path, LEFT_BEHIND, fresh.file.metadata().ok());
    write(&mut fresh.file)?;
    fresh.file.sync_all()?;
    fs::rename(&fresh.path, path)?;
    fresh.renamed = true;
    Ok(())
}

/// Brings the names in a directory to the disk: those of new, renamed and removed files.
///
/// # Errors
/// Those of the system.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// `root` could replace a device by a file, even `/dev/null`.
fn refuse_to_replace(found: &fs::Metadata) -> io::Result<()> {
    refuse_special(found)?;
    if found.is_file() {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file but a device"))
}

/// A file under a fresh name, removed unless it was renamed.
struct Fresh {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Fresh {
    /// A new file: whatever has the name already, be it a link, is left alone.
    fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let base = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let mut name = base.to_owned();
            name.push(format!("{MARK}{:016x}", RandomState::new().hash_one(tries)));
            let path = path.with_file_name(name);
            let opened = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path);
            match opened {
                Ok(file) => return Ok(Self { path, file, renamed: false }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && tries > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Removes what processes that were killed have left behind beside the file, however young: for whoever
/// knows by a [`Lock`] that nobody writes it now.
///
/// [`Lock`]: crate::Lock
pub fn remove_left_behind(path: &Path, lock: &Lock) {
    remove_fresh(path, Duration::ZERO, lock.metadata().ok());
}

/// Removes fresh files of this owner that a killed process left behind. Those of a process that is
/// writing now are young.
fn remove_fresh(path: &Path, least: Duration, own: Option<fs::Metadata>) {
    let Some(base) = path.file_name().map(|name| name.to_string_lossy()) else { return };
    let (Ok(entries), Some(own)) = (fs::read_dir(folder(path)), own) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(&*base)?.strip_prefix(MARK));
        if !random.is_some_and(|random| {
            random.len() == DIGITS && random.bytes().all(|digit| digit.is_ascii_hexdigit())
        }) {
            continue;
        }
        // Of the link itself, if it is one.
        let Ok(found) = entry.metadata() else { continue };
        let age =
            found.modified().ok().and_then(|then| SystemTime::now().duration_since(then).ok());
        let is_old = least.is_zero() || age.is_some_and(|age| age > least);
        if found.is_file() && found.uid() == own.uid() && is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
}
