//! What leaves in a zone transfer: a whole zone (AXFR, RFC 5936), the changes since a version (IXFR,
//! RFC 1995), or the SOA record alone, as messages full of records.
//!
//! A transfer holds a version of the zone, not a lock: changes of the zone are not seen by it, and do
//! not wait for it. It may rest between two messages as long as it likes.

mod increments;
mod message;
mod names;
mod outgoing;

pub use message::TooLarge;
pub use outgoing::{Bounds, Outgoing, Progress};
