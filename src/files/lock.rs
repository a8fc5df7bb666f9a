//! Directories of our own, and locks against other processes.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use crate::mode::PRIVATE;
use crate::read::refuse_special;

/// The mode of a directory that only its owner enters.
const PRIVATE_DIRECTORY: u32 = 0o700;

/// A lock on a file, held until it is dropped or the process ends, however that happens.
#[derive(Debug)]
pub struct Lock {
    file: Flock<std::fs::File>,
}

impl Lock {
    /// Locks a file, which is made if it is not there. `None` if another process, or another lock of this
    /// one, has it.
    ///
    /// # Errors
    /// The path leads to something else than a regular file (`InvalidInput`), or the system says why not.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        refuse_special(&file.metadata()?)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Some(Self { file })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error.into()),
        }
    }

    pub(crate) fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.file.metadata()
    }

    /// Sets the time of the last write to now, by the clock that gives other files theirs.
    ///
    /// # Errors
    /// Those of the system.
    pub fn touch(&self) -> io::Result<()> {
        let now = TimeSpec::UTIME_NOW;
        Ok(futimens(&*self.file, &now, &now)?)
    }
}

/// Makes a directory that only its owner enters, unless it is there. Its parent must exist.
///
/// # Errors
/// The path leads to something else (`NotADirectory`), or the system says why not.
pub fn make_private_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(PRIVATE_DIRECTORY).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if std::fs::metadata(path)?.is_dir() {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(libc::ENOTDIR))
            }
        }
        made => made,
    }
}
