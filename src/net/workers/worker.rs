//! What the sockets of one worker share: bounds, counters and connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::connections::Connections;
use super::counters::{Counters, SessionCounters};

/// The limits of each worker.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Waiting queries per worker.
    pub waiting: usize,
    /// Open TCP connections per worker.
    pub tcp_connections: usize,
    /// Unanswered queries per TCP connection.
    pub tcp_pipeline: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting: 16_384, tcp_connections: 5_000, tcp_pipeline: 128 }
    }
}

/// What the sockets of one worker share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) connections: Connections,
    waiting: AtomicUsize,
    /// Below [`Limits::waiting`] and [`Limits::tcp_connections`] where memory is short.
    pub(crate) max_waiting: AtomicUsize,
    pub(crate) max_connections: AtomicUsize,
    /// Connections for which there are descriptors.
    pub(crate) descriptors: AtomicUsize,
    pub(crate) sessions: SessionCounters,
}

impl Worker {
    pub(super) fn new(index: usize, limits: Limits) -> Self {
        Self {
            index,
            limits,
            counters: Counters::default(),
            connections: Connections::default(),
            waiting: AtomicUsize::new(0),
            max_waiting: AtomicUsize::new(limits.waiting),
            max_connections: AtomicUsize::new(limits.tcp_connections),
            descriptors: AtomicUsize::new(usize::MAX),
            sessions: SessionCounters::default(),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Counts one more waiting query, if the limit permits. Only the worker's own thread calls this.
    pub(crate) fn enter_waiting(&self) -> bool {
        let waiting = self.waiting();
        let room = waiting < self.max_waiting.load(Ordering::Relaxed);
        if room {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        } else if waiting < self.limits.waiting {
            self.counters.memory_refused.add(1);
        }
        room
    }

    /// The limit on open TCP connections now.
    pub(crate) fn max_connections(&self) -> usize {
        let descriptors = self.descriptors.load(Ordering::Relaxed);
        self.max_connections.load(Ordering::Relaxed).min(descriptors)
    }

    pub(crate) fn leave_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
