//! The house rules that no lint checks: one test per rule, and for each checker a proof that it fires.
//!
//! A checker is a function from text to complaints. The tests feed it the repository; `fires` feeds
//! it something bad. clippy checks the rest: `clippy.toml` and the lints of the workspace.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]

mod circles;
mod documents;
mod metrics;
mod paths;
mod plugins;
mod repository;
mod sources;
