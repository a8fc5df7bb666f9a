//! Mistakes and how they are shown: for people, for programs, and in a log.

mod diagnostic;
mod record;
mod render;
mod suggest;

pub use diagnostic::{Diagnostic, Diagnostics, Location, Place, Severity};
pub use record::Record;
pub use render::{render, render_json};
pub use suggest::nearest;
