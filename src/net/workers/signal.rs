//! The closing signal of a listener, which its sockets' tasks watch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// The closing signal of one listener. A check is one load.
#[derive(Default)]
pub(crate) struct Signal {
    /// Zero while the listener is open; else the grace period in milliseconds plus one.
    raised: AtomicU64,
    wakers: Mutex<Vec<Waker>>,
}

impl Signal {
    /// Makes all tasks finish within `grace`.
    pub(crate) fn raise(&self, grace: Duration) {
        let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX - 1);
        self.raised.store(millis.saturating_add(1), Ordering::Release);
        let wakers =
            std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in wakers {
            waker.wake();
        }
    }

    /// The grace period, once the signal is raised.
    #[inline]
    pub(crate) fn grace(&self) -> Option<Duration> {
        let raised = self.raised.load(Ordering::Acquire);
        (raised != 0).then(|| Duration::from_millis(raised - 1))
    }

    /// Wakes this task when the signal is raised. A task calls it once, then checks [`Signal::grace`].
    pub(crate) fn subscribe(&self, waker: &Waker) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
    }
}
