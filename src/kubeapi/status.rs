//! How it goes with one resource.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::failure::Failure;

/// How it goes with one resource.
#[derive(Default)]
pub struct Status {
    synced: AtomicBool,
    /// Told when the first list is complete.
    listed: Notify,
    state: Mutex<State>,
    /// Held by the one that follows the resource.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Since when nothing is heard of changes; `None` while there is a watch.
    deaf_since: Option<Instant>,
    failure: Option<Failure>,
    /// The version that is known: where the next watch begins.
    version: Option<String>,
}

impl Status {
    /// Whether there was a whole list.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Waits until there was a whole list.
    pub async fn synced(&self) {
        loop {
            let listed = self.listed.notified();
            if self.is_synced() {
                return;
            }
            listed.await;
        }
    }

    /// What went wrong last, unless it is right again.
    pub fn failure(&self) -> Option<Failure> {
        self.state().failure.clone()
    }

    /// For how long nothing is heard of changes.
    pub fn age(&self) -> Duration {
        self.state().deaf_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(crate) fn has_list(&self) {
        self.synced.store(true, Ordering::Release);
        self.listed.notify_waiters();
    }

    /// The version that is known.
    pub(crate) fn version(&self) -> Option<String> {
        self.state().version.clone()
    }

    /// Notes the version that is known.
    pub(crate) fn has_version(&self, version: Option<&str>) {
        let known = &mut self.state().version;
        match (known, version) {
            (Some(known), Some(version)) => version.clone_into(known),
            (known, version) => *known = version.map(str::to_owned),
        }
    }

    /// Notes that a watch runs. Returns whether something was wrong before.
    pub(crate) fn has_watch(&self) -> bool {
        let mut state = self.state();
        state.deaf_since = None;
        state.failure.take().is_some()
    }

    /// Notes a failure. Returns whether it is another one than before.
    pub(crate) fn has_failed(&self, failure: &Failure) -> bool {
        let mut state = self.state();
        state.deaf_since.get_or_insert_with(Instant::now);
        let is_new = state.failure.as_ref() != Some(failure);
        state.failure = Some(failure.clone());
        is_new
    }

    /// Notes that there is no watch at the moment.
    pub(crate) fn is_deaf(&self) {
        self.state().deaf_since.get_or_insert_with(Instant::now);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
