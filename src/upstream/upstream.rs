//! One upstream: its connections, whether it is well, and its numbers.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chain::metrics::{self, Counter, Histogram, TIME_BUCKETS, Worker};
use net::Runtimes;
use net::client::{Connections, DatagramPool, Over, PoolOptions, Watch};
use tokio::sync::Notify;
use wire::{Name, Rcode};

/// CoreDNS's label for whose upstreams these are.
const PROXY_NAME: &str = "forward";
/// Rcodes whose histogram is found without a lock; others come from no known server.
const COMMON_RCODES: usize = 24;

/// What makes an upstream the same one after a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The address to ask from.
    pub(crate) source: Option<IpAddr>,
    /// How long an idle connection is kept.
    pub(crate) expire: Duration,
    /// How long a connection is used at all; zero: no bound.
    pub(crate) max_age: Duration,
    /// How many idle connections are kept; zero: no bound.
    pub(crate) max_idle_conns: usize,
    /// RD of health checks.
    pub(crate) check_recursion: bool,
    /// Whose NS records health checks ask for.
    pub(crate) check_domain: Name,
    /// Health checks over TCP.
    pub(crate) check_tcp: bool,
    /// What is spoken, and whom to expect there.
    pub(crate) over: Over,
}

/// How an upstream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing speaks against it.
    Well,
    /// The last query to it failed, and its health check has not succeeded since.
    Suspect,
    /// More health checks in a row failed than are allowed.
    Down,
}

/// An upstream; survives reloads.
pub(crate) struct Upstream {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// The same as text, for labels and metadata.
    pub(crate) name: String,
    /// How it is talked to.
    pub(crate) options: Options,
    /// One for each worker, so that workers do not wait for each other; a single one if the number
    /// of kept connections is bounded, for that is a bound on all of them.
    pools: Box<[Connections]>,
    /// One for each worker.
    datagrams: Box<[DatagramPool]>,
    /// Health checks that failed since one succeeded.
    fails: AtomicU32,
    suspect: AtomicBool,
    /// The number of its latest failure among all failures of all upstreams; zero: never failed.
    failed_at: AtomicU64,
    /// Wakes the health check.
    pub(crate) trouble: Notify,
    /// Its metrics.
    pub(crate) numbers: Numbers,
}

/// An upstream's metrics.
pub(crate) struct Numbers {
    to: String,
    durations: [OnceLock<Histogram>; COMMON_RCODES],
    check_failures: Counter,
    datagrams: Datagrams,
    stream_misses: Counter,
    stream_hits: Counter,
    dropped: Counter,
    crowded: Counter,
    strange: Counter,
}

/// Counts datagrams.
#[derive(Clone)]
struct Datagrams {
    worker: Worker,
    fresh: Counter,
    reused: Counter,
    dropped: Counter,
}

impl Watch for Datagrams {
    fn leaves(&self, reused: bool) {
        if reused { self.reused.inc(self.worker) } else { self.fresh.inc(self.worker) }
    }

    fn stray(&self) {
        self.dropped.inc(self.worker);
    }
}

impl Upstream {
    /// An upstream that is well as far as we know.
    pub(crate) fn new(address: SocketAddr, options: Options, workers: usize) -> Self {
        let name = address.to_string();
        let pools = if options.max_idle_conns > 0 { 1 } else { workers.max(1) };
        let numbers = Numbers::new(&name, &options.over);
        let dropped = numbers.dropped.clone();
        let options_of_pools = PoolOptions {
            expire: options.expire,
            max_idle: options.max_idle_conns,
            max_age: options.max_age,
            stray: Arc::new(move || dropped.inc(metrics::SHARED)),
            ..PoolOptions::default()
        };
        Self {
            address,
            pools: Connections::several(&options.over, &options_of_pools, pools),
            datagrams: (0..workers.max(1))
                .map(|worker| DatagramPool::new(numbers.datagrams(worker)))
                .collect(),
            fails: AtomicU32::new(0),
            suspect: AtomicBool::new(false),
            failed_at: AtomicU64::new(0),
            trouble: Notify::new(),
            numbers,
            options,
            name,
        }
    }

    /// The connections of `worker`.
    pub(crate) fn connections(&self, worker: Worker) -> &Connections {
        &self.pools[worker % self.pools.len()]
    }

    /// Opens a connection for each worker ahead of the first query, where a handshake makes that
    /// worth it.
    pub(crate) fn warm(self: &Arc<Self>, runtimes: &Runtimes) {
        // A single pool has a bound on idle connections: none are opened before they are needed.
        if self.options.over == Over::Tcp || self.pools.len() != runtimes.count() {
            return;
        }
        for worker in 0..runtimes.count() {
            let upstream = Arc::clone(self);
            runtimes.spawn(worker, async move {
                upstream.connections(worker).warm(upstream.options.source, upstream.address);
            });
        }
    }

    /// The sockets of `worker`.
    pub(crate) fn datagrams(&self, worker: Worker) -> &DatagramPool {
        &self.datagrams[worker % self.datagrams.len()]
    }

    /// How it is, where more than `max_fails` failed checks mean down and zero that nobody looks.
    #[inline]
    pub(crate) fn state(&self, max_fails: u32) -> State {
        if max_fails == 0 {
            State::Well
        } else if self.fails.load(Ordering::Relaxed) > max_fails {
            State::Down
        } else if self.suspect.load(Ordering::Relaxed) {
            State::Suspect
        } else {
            State::Well
        }
    }

    /// Whether a health check has work to do.
    pub(crate) fn is_unwell(&self) -> bool {
        self.suspect.load(Ordering::Relaxed) || self.fails.load(Ordering::Relaxed) > 0
    }

    /// When it failed last, compared with others.
    pub(crate) fn failed_at(&self) -> u64 {
        self.failed_at.load(Ordering::Relaxed)
    }

    /// It answered, whatever it said.
    #[inline]
    pub(crate) fn answered(&self) {
        if self.is_unwell() {
            self.suspect.store(false, Ordering::Relaxed);
            self.fails.store(0, Ordering::Relaxed);
        }
    }

    /// It did not answer a query: it is passed over until a health check succeeds.
    #[cold]
    pub(crate) fn failed(&self, max_fails: u32) {
        static FAILURES: AtomicU64 = AtomicU64::new(1);
        self.failed_at.store(FAILURES.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if max_fails > 0 {
            self.suspect.store(true, Ordering::Relaxed);
            self.trouble.notify_one();
        }
    }

    /// It did not answer a health check.
    pub(crate) fn check_failed(&self) {
        self.numbers.check_failures.inc(metrics::SHARED);
        let count = |fails: u32| Some(fails.saturating_add(1));
        // Cannot fail: the closure never says no.
        let _ = self.fails.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }
}

impl Numbers {
    fn new(to: &str, over: &Over) -> Self {
        let stream = match over {
            Over::Tcp => "tcp",
            // CoreDNS's words, the last two from its listeners: it does not count these.
            Over::Tls(_) => "tcp-tls",
            Over::Quic(_) => "quic",
            Over::Https(..) => "https",
            Over::H3(..) => "https3",
        };
        let cache = |name, help, proto| {
            metrics::counter(name, help, &["proxy_name", "to", "proto"], &[PROXY_NAME, to, proto])
        };
        let misses = |proto| {
            cache(
                "coredns_proxy_conn_cache_misses_total",
                "Counter of connection cache misses per upstream and protocol.",
                proto,
            )
        };
        let hits = |proto| {
            cache(
                "coredns_proxy_conn_cache_hits_total",
                "Counter of connection cache hits per upstream and protocol.",
                proto,
            )
        };
        let dropped = metrics::counter(
            "catena_forward_replies_dropped_total",
            "Messages from an upstream that were not the reply waited for.",
            &["to"],
            &[to],
        );
        Self {
            to: to.to_owned(),
            durations: [const { OnceLock::new() }; COMMON_RCODES],
            check_failures: metrics::counter(
                "coredns_proxy_healthcheck_failures_total",
                "Counter of the number of failed healthchecks.",
                &["proxy_name", "to"],
                &[PROXY_NAME, to],
            ),
            datagrams: Datagrams {
                worker: metrics::SHARED,
                fresh: misses("udp"),
                reused: hits("udp"),
                dropped: dropped.clone(),
            },
            stream_misses: misses(stream),
            stream_hits: hits(stream),
            dropped,
            strange: metrics::counter(
                "catena_forward_records_dropped_total",
                "Records in replies of an upstream that did not belong to the question.",
                &["to"],
                &[to],
            ),
            crowded: metrics::counter(
                "catena_forward_connections_full_total",
                "Queries that found all connections to an upstream full, and too many waiting.",
                &["to"],
                &[to],
            ),
        }
    }

    /// A reply after `took`.
    #[inline]
    pub(crate) fn replied(&self, worker: Worker, rcode: Rcode, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        match self.durations.get(usize::from(rcode.0)) {
            Some(known) => known.get_or_init(|| self.duration(rcode)).observe(worker, nanoseconds),
            None => self.duration(rcode).observe(worker, nanoseconds),
        }
    }

    #[cold]
    fn duration(&self, rcode: Rcode) -> Histogram {
        // An rcode without a name is a number here, as in CoreDNS.
        let number = rcode.0.to_string();
        metrics::histogram(
            "coredns_proxy_request_duration_seconds",
            "Histogram of the time each request took.",
            &["proxy_name", "to", "rcode"],
            &[PROXY_NAME, &self.to, rcode.mnemonic().unwrap_or(&number)],
            TIME_BUCKETS,
            1e-9,
        )
    }

    /// Counts the datagrams of `worker`.
    fn datagrams(&self, worker: Worker) -> Arc<Datagrams> {
        Arc::new(Datagrams { worker, ..self.datagrams.clone() })
    }

    /// A connection carried a query.
    pub(crate) fn used_stream(&self, worker: Worker, reused: bool) {
        if reused { self.stream_hits.inc(worker) } else { self.stream_misses.inc(worker) }
    }

    /// A query found no place on any connection.
    #[cold]
    pub(crate) fn crowded(&self, worker: Worker) {
        self.crowded.inc(worker);
    }

    /// So many records of a reply did not belong to the question.
    #[cold]
    pub(crate) fn strange(&self, worker: Worker, records: usize) {
        self.strange.add(worker, records as u64);
    }

    /// Something came that was not the reply.
    #[cold]
    pub(crate) fn dropped(&self, worker: Worker) {
        self.dropped.inc(worker);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An upstream on this port of the documentation network.
    pub(crate) fn upstream(port: u16) -> Upstream {
        let options = Options {
            source: None,
            expire: Duration::from_secs(10),
            max_age: Duration::ZERO,
            max_idle_conns: 0,
            check_recursion: true,
            check_domain: Name::root(),
            check_tcp: false,
            over: Over::Tcp,
        };
        Upstream::new(SocketAddr::from(([192, 0, 2, 53], port)), options, 1)
    }

    #[test]
    fn an_answer_or_a_good_check_makes_it_well() {
        let one = upstream(53);
        assert_eq!(one.state(2), State::Well);
        one.failed(2);
        assert_eq!(one.state(2), State::Suspect);
        for _ in 0..3 {
            one.check_failed();
        }
        assert_eq!(one.state(2), State::Down);
        assert_eq!(one.state(3), State::Suspect);
        assert_eq!(one.state(0), State::Well);
        one.answered();
        assert_eq!(one.state(2), State::Well);
        assert!(!one.is_unwell());
    }
}
