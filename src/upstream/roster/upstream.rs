//! One upstream: its connections and its health.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use net::Runtimes;
use net::client::{Connections, DatagramPool, Over, PoolOptions};
use net::clock;
use telemetry::metrics::{self, Worker};
use tokio::sync::{Mutex, Notify};
use wire::{Moment, Name, Rcode};

use super::metrics::UpstreamMetrics;
use crate::config::{Breaker, Owner};
use crate::health::{Circuit, Liveness};

/// An upstream that fails again within this time has a longer probation.
const STEADY: Duration = Duration::from_secs(30);
/// The maximum number of times that the probation, one second, doubles.
const MAX_DOUBLINGS: u32 = 5;
/// The time between two trial queries to a silent upstream that answers its checks again.
const TRIAL: Duration = Duration::from_millis(100);
/// After so many truncated answers in a row, queries go over TCP at once.
const CUT: u32 = 16;
/// One query of so many still goes over UDP, as a probe.
const CUT_PROBE: u32 = 64;

/// What makes an upstream the same one after a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The source address.
    pub(crate) source: Option<IpAddr>,
    /// How long an idle connection is kept.
    pub(crate) expire: Duration,
    /// The lifetime of a connection; zero: no bound.
    pub(crate) max_age: Duration,
    /// How many idle connections are kept; zero: no bound.
    pub(crate) max_idle_conns: usize,
    /// The RD flag of health checks.
    pub(crate) check_recursion: bool,
    /// The name whose NS records health checks query.
    pub(crate) check_domain: Name,
    /// Health checks over TCP.
    pub(crate) check_tcp: bool,
    /// The protocol, and the expected server.
    pub(crate) over: Over,
    /// The rule of its circuit breaker.
    pub(crate) breaker: Option<Breaker>,
    /// The percentile of the RTT that `hedge` needs.
    pub(crate) percentile: Option<u8>,
    /// The plugin that it belongs to.
    pub(crate) owner: &'static Owner,
}

/// The health of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It answers, as far as is known.
    Healthy,
    /// The last query to it failed, and its health check has not succeeded since.
    Suspect,
    /// More health checks in a row failed than are allowed.
    Down,
}

/// An upstream; survives reloads.
pub(crate) struct Upstream {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The address as text, for labels and metadata.
    pub(crate) name: String,
    /// How it is queried.
    pub(crate) options: Options,
    /// One pool for each worker, so that workers do not wait for each other; a single one if the number
    /// of idle connections is bounded, because the bound is on all of them.
    pools: Box<[Connections]>,
    /// One for each worker.
    datagrams: Box<[DatagramPool]>,
    /// Health checks that failed since one succeeded.
    fails: AtomicU32,
    suspect: AtomicBool,
    /// The number of its latest failure among all failures of all upstreams; zero: never failed.
    failed_at: AtomicU64,
    /// When it last recovered, in nanoseconds of the clock; zero: it never failed.
    recovered_at: AtomicU64,
    /// Failures soon after a recovery, in a row.
    relapses: AtomicU32,
    /// When the next trial query may be sent, after the upstream fell silent.
    trial_at: AtomicU64,
    /// Truncated answers in a row.
    cut: AtomicU32,
    /// Its response times, and whether it answers at all.
    pub(crate) liveness: Liveness,
    circuit: Option<Circuit>,
    /// Wakes the health checks.
    pub(crate) trouble: Notify,
    /// Held by the group that checks it, if several groups query it.
    pub(crate) checking: Mutex<()>,
    /// Its metrics.
    pub(crate) metrics: UpstreamMetrics,
}

impl Upstream {
    /// An upstream, assumed to be healthy.
    pub(crate) fn new(address: SocketAddr, options: Options, workers: usize) -> Self {
        let name = address.to_string();
        let pools = if options.max_idle_conns > 0 { 1 } else { workers.max(1) };
        let metrics = UpstreamMetrics::new(options.owner, &name, &options.over);
        let dropped = metrics.dropped.clone();
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
                .map(|worker| DatagramPool::new(metrics.datagrams(worker), workers))
                .collect(),
            fails: AtomicU32::new(0),
            suspect: AtomicBool::new(false),
            failed_at: AtomicU64::new(0),
            recovered_at: AtomicU64::new(0),
            relapses: AtomicU32::new(0),
            trial_at: AtomicU64::new(0),
            cut: AtomicU32::new(0),
            liveness: Liveness::new(options.percentile),
            circuit: options.breaker.clone().map(Circuit::new),
            trouble: Notify::new(),
            checking: Mutex::const_new(()),
            metrics,
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

    /// Its health: down after more than `max_fails` failed checks; with zero there are no checks.
    #[inline]
    pub(crate) fn state(&self, max_fails: u32) -> State {
        match self.health(max_fails) {
            State::Healthy if self.is_on_trial(max_fails) => State::Suspect,
            state => state,
        }
    }

    /// Whether it gets trial queries only: no query has been answered since it fell silent, or its circuit
    /// breaker is open.
    #[inline]
    fn is_on_trial(&self, max_fails: u32) -> bool {
        max_fails > 0 && self.liveness.is_silent()
            || self.circuit.as_ref().is_some_and(|one| !one.is_closed())
    }

    #[inline]
    fn health(&self, max_fails: u32) -> State {
        if max_fails == 0 {
            State::Healthy
        } else if self.fails.load(Ordering::Relaxed) > max_fails {
            State::Down
        } else if self.suspect.load(Ordering::Relaxed) {
            State::Suspect
        } else {
            State::Healthy
        }
    }

    /// Whether it is queried before unhealthy upstreams. An upstream on trial gets a query
    /// now and then.
    #[inline]
    pub(crate) fn is_eligible(&self, max_fails: u32) -> bool {
        self.health(max_fails) == State::Healthy
            && (!self.is_on_trial(max_fails) || self.admits(max_fails))
    }

    #[cold]
    fn admits(&self, max_fails: u32) -> bool {
        let now = clock::now();
        if self.circuit.as_ref().is_some_and(|one| !one.is_closed() && !one.admits(now)) {
            return false;
        }
        if max_fails == 0 || !self.liveness.is_silent() {
            return true;
        }
        let at = self.trial_at.load(Ordering::Relaxed);
        let next = now.plus(TRIAL).0;
        let (set, order) = (Ordering::Relaxed, Ordering::Relaxed);
        at <= now.0 && self.trial_at.compare_exchange(at, next, set, order).is_ok()
    }

    /// Whether a health check has work to do.
    pub(crate) fn is_unhealthy(&self) -> bool {
        self.suspect.load(Ordering::Relaxed) || self.fails.load(Ordering::Relaxed) > 0
    }

    /// Whether queries that wait for it are unlikely to get a reply.
    pub(crate) fn seems_down(&self, max_fails: u32) -> bool {
        self.liveness.is_silent() || self.health(max_fails) != State::Healthy
    }

    /// The number of its latest failure, to compare it with others.
    pub(crate) fn failed_at(&self) -> u64 {
        self.failed_at.load(Ordering::Relaxed)
    }

    /// It answered a query, with any rcode. `true`: the circuit breaker counts this answer as
    /// bad.
    #[inline]
    pub(crate) fn answered(&self, rcode: Rcode) -> bool {
        if self.is_unhealthy() {
            self.fails.store(0, Ordering::Relaxed);
            // An upstream with relapses must first answer its checks for a while.
            if self.probation().is_zero() {
                self.recovered();
            }
        }
        let Some(circuit) = &self.circuit else { return false };
        if circuit.answered(rcode, clock::now()) {
            self.metrics.opened.inc(metrics::SHARED);
        }
        circuit.counts(rcode)
    }

    /// It has answered all health checks `for_so_long`. `true`: it is healthy again.
    pub(crate) fn checked(&self, for_so_long: Duration) -> bool {
        self.fails.store(0, Ordering::Relaxed);
        let well = for_so_long >= self.probation();
        if well {
            self.recovered();
        }
        well
    }

    fn recovered(&self) {
        self.recovered_at.store(clock::now().0.max(1), Ordering::Relaxed);
        self.fails.store(0, Ordering::Relaxed);
        self.suspect.store(false, Ordering::Relaxed);
    }

    /// How long it must answer checks before it counts as healthy: longer each time that it fails
    /// again soon after.
    fn probation(&self) -> Duration {
        match self.relapses.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            again => Duration::from_secs(1 << (again - 1).min(MAX_DOUBLINGS)),
        }
    }

    /// A query to it is late.
    #[cold]
    pub(crate) fn note_late(&self, max_fails: u32) {
        if self.liveness.note_late(clock::now())
            && self.health(max_fails) == State::Healthy
            && max_fails > 0
        {
            self.metrics.silences.inc(metrics::SHARED);
            self.failed(max_fails);
        }
    }

    /// It did not answer a query: it is skipped until a health check succeeds.
    #[cold]
    pub(crate) fn failed(&self, max_fails: u32) {
        static FAILURES: AtomicU64 = AtomicU64::new(1);
        self.failed_at.store(FAILURES.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if max_fails == 0 {
            return;
        }
        if !self.suspect.swap(true, Ordering::Relaxed) {
            let recovered = self.recovered_at.load(Ordering::Relaxed);
            let again = recovered != 0 && clock::now().since(Moment(recovered)) < STEADY;
            let relapses = self.relapses.load(Ordering::Relaxed);
            let relapses = if again { relapses.saturating_add(1) } else { 0 };
            self.relapses.store(relapses, Ordering::Relaxed);
        }
        // Wakes the checks that wait, and one that is about to.
        self.trouble.notify_waiters();
        self.trouble.notify_one();
    }

    /// Whether no answer fits a datagram: then all queries go over a connection at once, except for
    /// one now and then.
    #[inline]
    pub(crate) fn always_truncates(&self) -> bool {
        let cut = self.cut.load(Ordering::Relaxed);
        if cut < CUT {
            return false;
        }
        self.cut.store(if cut >= CUT + CUT_PROBE { CUT } else { cut + 1 }, Ordering::Relaxed);
        cut < CUT + CUT_PROBE
    }

    /// An answer came in a datagram, truncated or not.
    #[inline]
    pub(crate) fn note_truncation(&self, cut: bool) {
        let before = self.cut.load(Ordering::Relaxed);
        if cut && before < CUT {
            self.cut.store(before + 1, Ordering::Relaxed);
        } else if !cut && before > 0 {
            self.cut.store(0, Ordering::Relaxed);
        }
    }

    /// It did not answer a health check.
    pub(crate) fn check_failed(&self) {
        self.metrics.check_failures.inc(metrics::SHARED);
        let count = |fails: u32| Some(fails.saturating_add(1));
        // Cannot fail: the closure never returns `None`.
        let _ = self.fails.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
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
            breaker: None,
            percentile: None,
            owner: &crate::config::TEST,
        };
        Upstream::new(SocketAddr::from(([192, 0, 2, 53], port)), options, 1)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_or_a_good_check_makes_it_well() {
        let one = upstream(53);
        assert_eq!(one.state(2), State::Healthy);
        one.failed(2);
        assert_eq!(one.state(2), State::Suspect);
        for _ in 0..3 {
            one.check_failed();
        }
        assert_eq!(one.state(2), State::Down);
        assert_eq!(one.state(3), State::Suspect);
        assert_eq!(one.state(0), State::Healthy);
        one.answered(Rcode::SERVFAIL);
        assert_eq!(one.state(2), State::Healthy);
        assert!(!one.is_unhealthy());
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_again_and_again_is_believed_later() {
        let one = upstream(53);
        one.failed(2);
        assert!(one.checked(Duration::ZERO));
        for seconds in [1, 2, 4, 8, 16, 32, 32] {
            tokio::time::advance(STEADY / 2).await;
            one.failed(2);
            one.failed(2);
            one.answered(Rcode::NOERROR);
            assert_eq!(one.state(2), State::Suspect, "an answer is not enough");
            assert!(!one.checked(Duration::from_millis(seconds * 1000 - 1)));
            assert!(one.checked(Duration::from_secs(seconds)));
        }
        tokio::time::advance(STEADY).await;
        one.failed(2);
        assert!(one.checked(Duration::ZERO), "it was well for long enough");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_noticed_before_a_timeout() {
        let one = upstream(53);
        for _ in 0..3 {
            assert_eq!(one.state(2), State::Healthy);
            one.note_late(2);
            tokio::time::advance(Duration::from_millis(2)).await;
        }
        assert_eq!(one.state(2), State::Suspect);
        assert!(one.seems_down(0), "known without checks, but queried all the same");
        assert_eq!(one.state(0), State::Healthy);
        assert!(one.is_eligible(0));
        assert!(one.checked(Duration::ZERO));
        assert_eq!(one.state(2), State::Suspect, "no query was answered yet");
        assert!(one.is_eligible(2) && !one.is_eligible(2), "one tries");
        tokio::time::advance(TRIAL).await;
        assert!(one.is_eligible(2));
        one.liveness.replied(Duration::from_millis(1));
        assert_eq!(one.state(2), State::Healthy);
        assert!(one.is_eligible(2) && one.is_eligible(2));
    }

    #[test]
    fn who_cuts_everything_is_asked_for_the_whole_at_once() {
        let one = upstream(53);
        for _ in 0..CUT {
            assert!(!one.always_truncates());
            one.note_truncation(true);
        }
        let probes = (0..4 * (CUT_PROBE + 1)).filter(|_| !one.always_truncates());
        assert_eq!(probes.count(), 4, "one of some is a probe");
        one.note_truncation(false);
        assert!(!one.always_truncates());
    }
}
