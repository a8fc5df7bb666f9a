//! Files that grow at their end: logs of changes.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::read::refuse_special;

/// A regular file that is open for writing at its end. Whoever has it is its only writer.
#[derive(Debug)]
pub struct Appender {
    file: File,
    len: u64,
}

impl Appender {
    /// Opens a file that exists. A symbolic link is not followed.
    ///
    /// # Errors
    /// The path leads to something else than a regular file (`InvalidInput`), or the system says why not.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        let found = file.metadata()?;
        refuse_special(&found)?;
        Ok(Self { file, len: found.len() })
    }

    /// Octets of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends these octets and brings them to the disk. A failure leaves no part of them, as far as the
    /// system lets it be removed.
    ///
    /// # Errors
    /// Those of the system: the disk is full, a limit is reached, the device fails.
    pub fn append(&mut self, octets: &[u8]) -> Result<(), AppendError> {
        let written = self
            .file
            .seek(SeekFrom::Start(self.len))
            .and_then(|_| self.file.write_all(octets))
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.len += octets.len() as u64;
                Ok(())
            }
            Err(error) => {
                let removed = self.file.set_len(self.len).and_then(|()| self.file.sync_data());
                Err(AppendError { error, is_clean: removed.is_ok() })
            }
        }
    }

    /// Cuts the file off after `len` octets, and brings that to the disk.
    ///
    /// # Errors
    /// Those of the system.
    pub fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.file.sync_data()?;
        self.len = len;
        Ok(())
    }
}

/// Why nothing was appended.
#[derive(Debug)]
pub struct AppendError {
    /// What the system said.
    pub error: io::Error,
    /// Whether the file is as it was before. Otherwise its end is unknown.
    pub is_clean: bool,
}
