//! Temporary door until the parser lands.
#![allow(missing_docs, reason = "replaced as a whole by the room's real files")]
mod temp;
pub use temp::*;
