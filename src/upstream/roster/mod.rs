//! The upstreams of a group: what is known of each, its connections and its metrics.
//!
//! It must never know: clients, the order in which upstreams are asked, nor what their answers mean.

mod members;
mod metrics;
mod per_rcode;
mod upstream;

pub use per_rcode::PerRcode;

pub(crate) use members::{Member, Registry, Roster};
pub(crate) use upstream::{State, Upstream};

#[cfg(test)]
pub(crate) use upstream::tests;
