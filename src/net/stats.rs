//! The counters of the sockets. Each worker has its own counters; a reader sums them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::workers::Worker;

/// A counter that one thread writes and any thread reads.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one worker, on cache lines of their own.
        #[derive(Default)]
        #[repr(align(128))]
        pub(crate) struct Counters { $(pub(crate) $name: Counter,)* }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct StatsSnapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// Queries that wait for something now.
            pub waiting: u64,
            /// TCP connections open now.
            pub tcp_open: u64,
        }

        impl StatsSnapshot {
            fn add(&mut self, worker: &Worker) {
                $(self.$name += worker.counters.$name.get();)*
                self.waiting += worker.waiting() as u64;
                self.tcp_open += worker.connections.len() as u64;
            }
        }
    };
}

counters! {
    /// Datagrams received.
    udp_received,
    /// Batches they came in.
    udp_batches,
    /// Datagrams sent.
    udp_sent,
    /// Datagrams that could not be sent.
    send_dropped,
    /// Times that a full send buffer was waited for.
    send_blocked,
    /// Connections accepted.
    tcp_accepted,
    /// Connections closed at once because there are too many.
    tcp_refused,
    /// Idle connections closed to make room for new ones.
    tcp_evicted,
    /// Times that accepting failed for want of descriptors or memory.
    tcp_accept_failed,
    /// Messages received over connections.
    tcp_received,
    /// Messages sent over connections.
    tcp_sent,
    /// Connections closed because the client was too slow to ask or to read.
    tcp_timed_out,
    /// Queries refused because too many wait already.
    waiting_refused,
    /// Of those, queries refused because memory is short.
    memory_refused,
    /// Batches or waiting queries lost to a panic in the handler.
    panics,
}

/// The counters of all workers.
#[derive(Clone)]
pub struct Stats {
    pub(crate) workers: Arc<[Arc<Worker>]>,
}

impl Stats {
    /// The sums over all workers.
    pub fn snapshot(&self) -> StatsSnapshot {
        let mut sum = StatsSnapshot::default();
        self.workers.iter().for_each(|worker| sum.add(worker));
        sum
    }

    /// The counters of worker `n`.
    pub fn worker(&self, n: usize) -> Option<StatsSnapshot> {
        let mut own = StatsSnapshot::default();
        own.add(self.workers.get(n)?);
        Some(own)
    }
}
