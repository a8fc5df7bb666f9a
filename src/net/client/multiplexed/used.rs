//! When an upstream was queried last, by any worker.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How exactly it is known when an upstream was asked last: workers do not write one word at each
/// query.
const USED_STEP: Duration = Duration::from_millis(250);

/// When an upstream was asked last, by any worker.
pub(crate) struct LastUse {
    start: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
    ever: AtomicBool,
}

impl LastUse {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0), ever: AtomicBool::new(false) }
    }

    pub(super) fn touch(&self, now: Instant) {
        let since = now.duration_since(self.start);
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        if since >= last + USED_STEP || !self.ever.load(Ordering::Relaxed) {
            let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            self.last.store(millis, Ordering::Relaxed);
            self.ever.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn last(&self) -> Option<Instant> {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.ever.load(Ordering::Relaxed).then(|| self.start + last)
    }
}
