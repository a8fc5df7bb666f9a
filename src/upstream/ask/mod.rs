//! Asks the upstreams of a group until one answers: their order, attempts, hedges and bounds.
//!
//! It must never know: how upstreams are found, nor whose query it is.

mod attempt;
mod datagram;
mod exchange;
mod group;
mod hedge;
mod metrics;
mod order;
mod round;
mod run;
mod taps;
mod trouble;

pub use group::Group;
pub use metrics::baseline_metrics;

pub(crate) use group::in_flight;
pub(crate) use order::Selector;
pub(crate) use taps::Watchers;
