//! DNS over TCP (RFC 7766) and TLS (RFC 7858) to upstreams.
//!
//! It must never know: what a message means beyond its length and id.

mod connection;
mod pool;
mod task;

pub use pool::{Reused, StreamPool};

pub(crate) use task::dial;
