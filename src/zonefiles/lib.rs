//! Zones in master files: loads them, checks the files for new versions, and reports their mistakes.
//!
//! A [`ZoneFile`] is a zone that serves and the file that it comes from. A new version of the file replaces
//! the one that serves, and the difference becomes a part of the zone's history. As long as the file has
//! mistakes, the version before serves. Nothing here reads a file on a worker's thread.
//!
//! It must never know: how a plugin finds its files, the options of any plugin, queries.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write files"))]

mod included;
mod load;
mod notice;
mod report;
mod watch;
mod zone_file;

pub use included::Included;
pub use load::{Failed, Loaded, Problem, Warnings, io_error_text, load};
pub use notice::Notice;
pub use report::{Fresh, errors, log_warnings, mistakes, notice, skipped, warnings};
pub use watch::{Watch, Watched, watch};
pub use zone_file::{Renewed, ZoneFile};
