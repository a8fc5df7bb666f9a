//! Connections on which each query has a stream of its own: HTTPS on HTTP/2 and HTTP/3 (RFC 8484), and
//! QUIC (RFC 9250).
//!
//! It must never know: what a message means.

mod broken;
mod carrier;
mod h3;
mod https;
mod over;
mod pool;
mod quic;
mod task;
mod used;

pub use over::Over;
pub use quic::QuicSession;

pub(crate) use pool::CarrierPool;
pub(crate) use used::LastUse;
