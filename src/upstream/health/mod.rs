//! What the replies of an upstream, and their absence, say of its health.
//!
//! It must never know: sockets, tasks, configurations beyond one rule, nor what follows from a state.

mod circuit;
mod pulse;

pub(crate) use circuit::Circuit;
pub(crate) use pulse::Pulse;
