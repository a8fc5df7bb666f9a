//! Changes of a zone: what they are, how they follow from two versions, and how they make the next one.

mod apply;
mod changes;
mod difference;
mod draft;
mod edits;
mod records;

pub use changes::{Changes, Refused};
pub use records::RecordList;
