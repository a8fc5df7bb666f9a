//! What makes a changed version of a zone: the names that differ from its base, in persistent structures,
//! so that versions share what is equal.

mod entry;
mod names;
mod order;
mod sorted;

pub(crate) use entry::Entry;
pub(crate) use names::Names;
pub(crate) use order::{OrderPatch, is_below};
