//! Changes of a zone: what they are, how they follow from two versions, and how they make the next one.

mod apply;
mod at_name;
mod changes;
mod difference;
mod records;

pub use changes::{Changes, Refused};
pub use records::RecordList;
