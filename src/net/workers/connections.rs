//! The open connections of one worker, and which of them to evict.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use tokio::task::AbortHandle;
use wire::Moment;

use super::signal::Signal;

/// Connections in the sample from which the longest idle one is evicted. A search through all of them
/// for each new connection would help an attacker.
const SAMPLE: usize = 16;
const GONE: usize = usize::MAX;

/// One connection in the registry of its worker.
pub(crate) struct OpenConnection {
    place: AtomicUsize,
    active: AtomicU64,
    busy: AtomicBool,
    /// A handshake is not finished.
    greeting: AtomicBool,
    waker: OnceLock<Waker>,
    task: OnceLock<AbortHandle>,
    pub(crate) signal: Arc<Signal>,
}

impl OpenConnection {
    pub(crate) fn new(signal: Arc<Signal>, now: Moment) -> Self {
        Self {
            place: AtomicUsize::new(GONE),
            active: AtomicU64::new(now.0),
            busy: AtomicBool::new(false),
            greeting: AtomicBool::new(false),
            waker: OnceLock::new(),
            task: OnceLock::new(),
            signal,
        }
    }

    pub(crate) fn set_task(&self, task: AbortHandle) {
        // Each connection is one task, so this is the first call.
        let _ = self.task.set(task);
    }

    /// Ends the connection without grace.
    pub(crate) fn abort(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    pub(crate) fn set_greeting(&self, greeting: bool) {
        self.greeting.store(greeting, Ordering::Relaxed);
    }

    /// Whether a handshake is not finished.
    pub(crate) fn is_greeting(&self) -> bool {
        self.greeting.load(Ordering::Relaxed) && self.place.load(Ordering::Relaxed) != GONE
    }

    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// A whole message has arrived.
    pub(crate) fn touch(&self, now: Moment) {
        self.active.store(now.0, Ordering::Relaxed);
    }

    /// Whether answers are in flight.
    pub(crate) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }
}

/// The open connections of one worker.
#[derive(Default)]
pub(crate) struct Connections {
    entries: Mutex<Entries>,
    count: AtomicUsize,
    /// Evicted connections keep their sockets until their tasks are dropped.
    sockets: AtomicUsize,
}

#[derive(Default)]
struct Entries {
    open: Vec<Arc<OpenConnection>>,
    cursor: usize,
}

impl Connections {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The number of their sockets.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    pub(crate) fn insert(&self, entry: &Arc<OpenConnection>) {
        self.sockets.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.entries();
        entry.place.store(entries.open.len(), Ordering::Relaxed);
        entries.open.push(Arc::clone(entry));
        self.count.store(entries.open.len(), Ordering::Relaxed);
    }

    /// Removes a connection whose socket is closed.
    pub(crate) fn remove(&self, entry: &OpenConnection) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
        let mut entries = self.entries();
        self.remove_from(&mut entries, entry);
    }

    fn remove_from(&self, entries: &mut Entries, entry: &OpenConnection) {
        let place = entry.place.swap(GONE, Ordering::Relaxed);
        if place == GONE {
            return;
        }
        entries.open.swap_remove(place);
        if let Some(moved) = entries.open.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        self.count.store(entries.open.len(), Ordering::Relaxed);
    }

    /// Closes the connection of a sample that has been idle longest. `false`: all are busy.
    pub(crate) fn evict(&self) -> bool {
        let mut entries = self.entries();
        let len = entries.open.len();
        if len == 0 {
            return false;
        }
        let from = entries.cursor;
        entries.cursor = (from + SAMPLE) % len;
        let victim = (from..from + SAMPLE.min(len))
            .map(|at| &entries.open[at % len])
            .filter(|entry| !entry.busy.load(Ordering::Relaxed))
            .min_by_key(|entry| entry.active.load(Ordering::Relaxed))
            .cloned();
        let Some(victim) = victim else { return false };
        self.remove_from(&mut entries, &victim);
        drop(entries);
        victim.abort();
        true
    }

    /// Wakes the connections of one listener.
    pub(crate) fn wake(&self, signal: &Arc<Signal>) {
        let wakers: Vec<Waker> = self
            .entries()
            .open
            .iter()
            .filter(|entry| Arc::ptr_eq(&entry.signal, signal))
            .filter_map(|entry| entry.waker.get().cloned())
            .collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}
