//! Datagrams to upstreams.
//!
//! It must never know: what a message means beyond its id.

mod descriptor;
mod once;
mod pool;
mod port;

pub use pool::DatagramPool;
pub use port::Watch;
