//! Why a database cannot be read or written.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Why a database cannot be read or written: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no space left, or a limit of the system or the user is reached.
    Full,
    /// The system cannot read or write a file.
    System,
    /// A file has not the content that was written to it.
    Corrupt,
    /// Another process writes this database.
    InUse,
    /// The database was not claimed, or has no version that changes could follow.
    Unclaimed,
    /// The changes do not follow the last ones.
    Unchained,
    /// Too many changes wait for the disk.
    Busy,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The system could not do something with a file.
    pub(crate) fn system(what: &str, path: &Path, error: &io::Error) -> Self {
        let full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        );
        let kind = if full { Kind::Full } else { Kind::System };
        Self::new(kind, format!("cannot {what} `{}`: {error}", path.display()))
    }

    /// A file has not the content that was written to it.
    pub(crate) fn corrupt(path: &Path, why: impl fmt::Display) -> Self {
        let message = format!(
            "`{}` is damaged: {why}; restore the files of this zone from a backup, or move them away \
             to begin again without the changes in them",
            path.display()
        );
        Self::new(Kind::Corrupt, message)
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
