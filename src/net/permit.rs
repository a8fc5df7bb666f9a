//! Bounds on how many of something are in flight at once.
//!
//! `tokio::sync::Semaphore` does the same, but takes a lock whenever a permit comes back, because somebody may
//! wait for it. Here nobody waits: what is too many is refused.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// At most so many permits at a time.
#[derive(Debug)]
pub struct Bound {
    in_use: AtomicUsize,
    most: usize,
}

/// One of the permits of a [`Bound`], which is returned when this is dropped.
#[derive(Debug)]
#[must_use = "a permit that is not held is returned at once"]
pub struct Permit<B: Deref<Target = Bound>>(B);

impl Bound {
    /// A bound of `most`.
    pub const fn new(most: usize) -> Self {
        Self { in_use: AtomicUsize::new(0), most }
    }

    /// How many permits there are at most.
    pub const fn most(&self) -> usize {
        self.most
    }

    /// How many permits are in use.
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// A permit, unless all are in use.
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<&Self>> {
        self.count().then(|| Permit(self))
    }

    /// The same, for as long as the caller likes.
    #[inline]
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<Permit<Arc<Self>>> {
        self.count().then(|| Permit(Arc::clone(self)))
    }

    /// Counts one more, if that is within the bound.
    #[inline]
    fn count(&self) -> bool {
        let within = self.in_use.fetch_add(1, Ordering::Relaxed) < self.most;
        if !within {
            self.in_use.fetch_sub(1, Ordering::Relaxed);
        }
        within
    }
}

impl<B: Deref<Target = Bound>> Drop for Permit<B> {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_come_back() {
        let bound = Arc::new(Bound::new(2));
        let first = bound.try_acquire().unwrap();
        let second = bound.try_acquire_owned().unwrap();
        assert!(bound.try_acquire().is_none() && bound.try_acquire_owned().is_none());
        assert_eq!(bound.in_use(), 2);
        drop(first);
        assert!(bound.try_acquire().is_some());
        drop(second);
        assert_eq!(bound.in_use(), 0);
    }

    #[test]
    fn a_bound_of_nothing_refuses_all() {
        assert!(Bound::new(0).try_acquire().is_none());
    }
}
