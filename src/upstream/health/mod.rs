//! The health of an upstream, from its replies and their absence.
//!
//! It must never know: sockets, tasks, configurations beyond one rule, nor what follows from a state.

mod circuit;
mod liveness;

pub(crate) use circuit::Circuit;
pub(crate) use liveness::Liveness;
