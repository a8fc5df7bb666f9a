//! The hash of names, and collections keyed by it.

pub mod hash;
mod index;
mod suffix;

pub use index::HashIndex;
pub use suffix::{SuffixMap, SuffixTable, Zoned};
