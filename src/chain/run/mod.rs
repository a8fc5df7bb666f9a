//! The chain of a server block at work: prefetching, the way in and out, and spans around plugins.

pub mod ahead;
mod chain;
pub mod spans;

pub use chain::{Chain, Link, Next, ServeDns, yield_to_batch};
