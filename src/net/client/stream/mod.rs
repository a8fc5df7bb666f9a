//! DNS over TCP (RFC 7766) and TLS (RFC 7858) to upstreams.
//!
//! Queries share the connections of a pool; a reply of many messages has a conversation of its own.
//!
//! It must never know: what a message means beyond its length and id.

mod connection;
mod conversation;
mod pool;
mod task;

pub use conversation::{Conversation, Waits};
pub use pool::{Reused, StreamPool};

pub(crate) use task::dial;
