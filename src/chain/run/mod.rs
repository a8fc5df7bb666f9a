//! The chain of a server block at work: prefetching, the way in and out, and spans around plugins.

pub mod ahead;
mod chain;
mod link;
pub mod spans;

pub use chain::{Chain, Next, yield_to_batch};
pub use link::Link;
