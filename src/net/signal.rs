//! "Stop accepting": sent once by a listener to the tasks of its sockets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// One listener's signal. Looking at it costs a load.
#[derive(Default)]
pub(crate) struct Signal {
    /// Zero while open; else one more than the grace in milliseconds.
    raised: AtomicU64,
    wakers: Mutex<Vec<Waker>>,
}

impl Signal {
    /// Tells all tasks to finish within `grace`.
    pub(crate) fn raise(&self, grace: Duration) {
        let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX - 1);
        self.raised.store(millis.saturating_add(1), Ordering::Release);
        let wakers =
            std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in wakers {
            waker.wake();
        }
    }

    /// The grace, once raised.
    #[inline]
    pub(crate) fn grace(&self) -> Option<Duration> {
        let raised = self.raised.load(Ordering::Acquire);
        (raised != 0).then(|| Duration::from_millis(raised - 1))
    }

    /// Wakes this task when the signal is raised. Call it once per task, then look at
    /// [`Signal::grace`].
    pub(crate) fn subscribe(&self, waker: &Waker) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
    }
}
