//! Every file that the server reads, writes or watches.
//!
//! Paths come from a configuration, and other users of the machine may be able to change what they lead
//! to. So only regular files of a bounded size are read, opening never waits, and a file is written
//! beside its place under a fresh name that nobody can have prepared, then renamed. Only an [`Appender`]
//! changes a file in place, at its end.
//!
//! [`versions`] tells one version of a file from another without reading it, [`watch`] when to check
//! for a new one, and [`walk`] which files there are.
//!
//! It must never know: what is in a file. Sockets are not its business.

#![allow(clippy::disallowed_methods, reason = "files are opened here")]

mod append;
mod below;
mod lock;
mod mode;
mod read;
pub mod versions;
pub mod walk;
pub mod watch;
mod write;

pub use append::{AppendError, Appender};
pub use below::is_below;
pub use lock::{Lock, make_private_directory};
pub use mode::{PRIVATE, PUBLIC};
pub use read::{Reader, open, read, read_kernel, read_line, read_pipe, read_stream, read_text};
pub use write::{remove_left_behind, replace, replace_with, sync_directory};
