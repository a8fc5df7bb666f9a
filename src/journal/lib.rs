//! The copy of a zone on disk: a snapshot, and a log of the changes since.
//!
//! A directory holds the databases of any number of zones. Each has these files, which only their owner
//! reads:
//!
//! | file | content |
//! |---|---|
//! | `ZONE.snapshot` | the records of one version |
//! | `ZONE.log.N` | the changes that follow; the log with the snapshot's number begins at its version |
//! | `ZONE.lock` | locked by the process that writes |
//! | `ZONE.removed` | the snapshot while the database is removed: logs without it are left behind |
//!
//! [`Journal::read`] reads a database and changes nothing. [`Journal::claim`] takes it for writing. Then
//! [`Journal::append`] returns once the changes are on the disk: changes that arrive while the disk is
//! busy are written and synced together. [`Journal::compact`] starts a new log and writes the snapshot
//! beside it in the background, while changes go on.
//!
//! | failure | result |
//! |---|---|
//! | the process dies at any moment | every change that was confirmed is there; the last ones may be, whole or not at all |
//! | the disk is full, or fails | the changes are refused, none is half there, and later ones are tried again |
//! | the end of the last log is torn | it is left out, and cut off by the next writer; the caller learns how much |
//! | anything else is damaged | the database is not opened; the error names the file and the remedy |
//!
//! It must never know: queries, plugins, where changes come from.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod disk;
mod error;
mod format;
mod log;
mod place;
mod queue;
mod read;
mod snapshot;

pub use error::{Error, Kind};
pub use place::file_stem;
pub use queue::Journal;
pub use read::Recovered;
