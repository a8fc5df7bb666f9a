//! The evaluation of a tree in an environment.
//!
//! `run` walks over the tree and bounds its work and memory; `loops` has the functions that run over an array.

mod loops;
pub(crate) mod run;
