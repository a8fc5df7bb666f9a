//! The counters of the sockets. Each worker has its own counters; a reader sums them.

use std::sync::atomic::{AtomicU64, Ordering};

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
    (
        $($(#[$doc:meta])* $name:ident,)*;
        $($(#[$session_doc:meta])* $session:ident as $total:ident,)*
    ) => {
        /// The counters of one worker, on cache lines of their own.
        #[derive(Default)]
        #[repr(align(128))]
        pub(crate) struct Counters { $(pub(crate) $name: Counter,)* }

        /// The counters of one worker's TLS sessions.
        #[derive(Default)]
        pub(crate) struct SessionCounters { $(pub(crate) $session: Counter,)* }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct StatsSnapshot {
            $($(#[$doc])* pub $name: u64,)*
            $($(#[$session_doc])* pub $total: u64,)*
            /// Queries that wait for something now.
            pub waiting: u64,
            /// TCP connections open now.
            pub tcp_open: u64,
        }

        impl StatsSnapshot {
            /// Adds the counters of one worker.
            pub(super) fn add(&mut self, counters: &Counters, sessions: &SessionCounters) {
                $(self.$name += counters.$name.get();)*
                $(self.$total += sessions.$session.get();)*
            }
        }
    };
}

counters! {
    /// Datagrams received.
    udp_received,
    /// Batches of received datagrams.
    udp_batches,
    /// Datagrams sent.
    udp_sent,
    /// Datagrams that could not be sent.
    send_dropped,
    /// Waits for a full send buffer.
    send_blocked,
    /// Connections accepted.
    tcp_accepted,
    /// Connections closed at once because the limit is reached.
    tcp_refused,
    /// Idle connections evicted for new ones.
    tcp_evicted,
    /// Failures to accept a connection.
    tcp_accept_failed,
    /// Messages received over connections.
    tcp_received,
    /// Messages sent over connections.
    tcp_sent,
    /// Connections closed because a timeout for reading or writing expired.
    tcp_timed_out,
    /// Queries refused because the limit on waiting queries is reached.
    waiting_refused,
    /// Of those, queries refused because memory is short.
    memory_refused,
    /// Batches or waiting queries lost to a panic in the handler.
    panics,
    ;
    /// Handshakes of TLS that made a new session.
    full as tls_full,
    /// Handshakes that resumed one.
    resumed as tls_resumed,
    /// Handshakes that failed.
    failed as tls_failed,
    /// Handshakes that took too long.
    timed_out as tls_timed_out,
    /// Handshakes that were ended for new ones.
    evicted as tls_evicted,
    /// Connections for HTTP closed at once because their listener has as many as it may have.
    https_refused as https_refused,
    /// Replies over HTTP that were dropped because the client took none of many.
    calmed as https_dropped,
}
