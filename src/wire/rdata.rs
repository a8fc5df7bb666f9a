//! RDATA: where names lie in it, and how it is written from its fields.

mod fields;
mod layout;
mod soa;

pub use fields::Rdata;
pub use layout::{Layout, Prefix, expand, layout};
pub use soa::StandInSoa;
