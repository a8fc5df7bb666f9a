//! Dynamic updates (RFC 2136): what an UPDATE message asks for, and the changes that follow from it.
//!
//! [`Update::parse`] reads a message. [`Update::decide`] holds it against a version of the zone: its
//! prerequisites (section 3.2), the permissions (section 3.3) and its update section (section 3.4), in
//! this order. The result is the exact [`Changes`](zone::Changes), with a new serial, or the rcode and
//! the reason of a refusal. Nothing is changed here.
//!
//! It must never know: keys and their permissions, files, sockets, how a version is published.

mod draft;
mod entry;
mod message;
mod prerequisites;
mod refusal;
mod scan;

pub use entry::Entry;
pub use message::Update;
pub use refusal::Refusal;
pub use scan::{holds_signatures, is_generated, is_meta};
