//! How many entries a space may have, and has.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many entries a space has.
#[derive(Default)]
pub(in crate::cache) struct Quota {
    entries: AtomicUsize,
}

impl Quota {
    pub(super) fn grow(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn shrink(&self) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }
    pub(super) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }
}
