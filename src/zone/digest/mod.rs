//! The digest of a whole zone (ZONEMD, RFC 8976): computed, and compared with the record in the zone.
//!
//! It must never know: keys and trust. Whether the record itself is authentic is up to DNSSEC (RFC 8976
//! section 4, steps 1 and 2).

mod compute;
mod verify;

pub use compute::{Algorithm, digest, zonemd};
pub use verify::{Fault, Verdict, verify, verify_listing};
