//! Collections keyed by the hash of names.

mod index;
mod suffix;

pub use index::HashIndex;
pub use suffix::{SuffixMap, SuffixTable, Zoned};
