//! Named checks of master files: what a zone gets wrong beyond syntax, each with its place and what to do.
//!
//! A file is read once into a listing, which the checks go through, and once more for the places of what they
//! found (`places`). `rules` has the names of the checks and how serious each is; `sets`, `targets`, `apex`
//! and `signed` have the checks.
//!
//! It must never know: how findings are shown, and the clock. The time is an argument.

mod apex;
mod denial;
mod file;
mod finding;
mod places;
mod rules;
mod sets;
mod signed;
mod targets;
mod tree;

pub use file::{CheckOptions, check};
pub use finding::{Finding, Report};
pub use rules::{Check, Level, Rules};
