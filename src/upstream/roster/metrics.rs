//! The metrics of an upstream.

use std::sync::Arc;
use std::time::Duration;

use net::client::{Over, Watch};
use telemetry::metrics::{self, Counter, Histogram, TIME_BUCKETS, Worker};
use wire::Rcode;

use super::per_rcode::PerRcode;
use crate::config::{Observer, Owner};

/// An upstream's metrics.
pub(crate) struct UpstreamMetrics {
    plugin: &'static str,
    to: String,
    observer: Option<Box<dyn Observer>>,
    durations: PerRcode<Histogram>,
    pub(crate) check_failures: Counter,
    datagrams: Datagrams,
    stream_misses: Counter,
    stream_hits: Counter,
    pub(crate) dropped: Counter,
    connections_full: Counter,
    unrelated: Counter,
    pub(crate) silences: Counter,
    pub(crate) opened: Counter,
    hedges: Counter,
    stand_ins: Counter,
}

/// Counts datagrams.
#[derive(Clone)]
pub(crate) struct Datagrams {
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

impl UpstreamMetrics {
    /// The metrics of the upstream `to` of a plugin.
    pub(crate) fn new(owner: &'static Owner, to: &str, over: &Over) -> Self {
        let (plugin, names) = (owner.name, &owner.metrics);
        let stream = match over {
            Over::Tcp => "tcp",
            // CoreDNS's words, the last two from its listeners: it does not count these.
            Over::Tls(_) => "tcp-tls",
            Over::Quic(_) => "quic",
            Over::Https(..) => "https",
            Over::H3(..) => "https3",
        };
        let cache = |name, help, proto| {
            metrics::counter(name, help, &["proxy_name", "to", "proto"], &[plugin, to, proto])
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
            names.replies_dropped,
            "Messages from an upstream that were not the expected reply.",
            &["to"],
            &[to],
        );
        let own = |name, help| metrics::counter(name, help, &["to"], &[to]);
        Self {
            plugin,
            to: to.to_owned(),
            observer: owner.observer.map(|observer| observer(to)),
            durations: PerRcode::default(),
            check_failures: metrics::counter(
                "coredns_proxy_healthcheck_failures_total",
                "Counter of the number of failed healthchecks.",
                &["proxy_name", "to"],
                &[plugin, to],
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
            connections_full: own(
                names.connections_full,
                "Queries not sent because all connections to an upstream were full and too many queries waited.",
            ),
            unrelated: own(
                names.records_dropped,
                "Records dropped from upstream replies because they were unrelated to the question.",
            ),
            silences: own(
                names.silences,
                "Times an upstream was detected as silent before a query timed out.",
            ),
            opened: own(
                names.circuit_opened,
                "Times the circuit breaker of an upstream opened because of its answers.",
            ),
            hedges: own(
                names.hedges,
                "Hedged queries: sent to an upstream because another one was late.",
            ),
            stand_ins: own(
                names.stand_ins,
                "Queries sent to an upstream because another one fell silent.",
            ),
        }
    }

    /// A reply arrived after `took`.
    #[inline]
    pub(crate) fn replied(&self, worker: Worker, rcode: Rcode, took: Duration) {
        if let Some(observer) = &self.observer {
            observer.replied(worker, rcode, took);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let register = |rcode: &str| self.duration(rcode);
        self.durations.with(rcode, register, |metric| metric.observe(worker, nanoseconds));
    }

    #[cold]
    fn duration(&self, rcode: &str) -> Histogram {
        metrics::histogram(
            "coredns_proxy_request_duration_seconds",
            "Histogram of the time each request took.",
            &["proxy_name", "to", "rcode"],
            &[self.plugin, &self.to, rcode],
            TIME_BUCKETS,
            1e-9,
        )
    }

    /// Counts the datagrams of `worker`.
    pub(crate) fn datagrams(&self, worker: Worker) -> Arc<Datagrams> {
        Arc::new(Datagrams { worker, ..self.datagrams.clone() })
    }

    /// A connection carried a query.
    pub(crate) fn used_stream(&self, worker: Worker, reused: bool) {
        if reused { self.stream_hits.inc(worker) } else { self.stream_misses.inc(worker) }
    }

    /// A hedged query was sent because another upstream was late.
    #[cold]
    pub(crate) fn hedged(&self, worker: Worker) {
        self.hedges.inc(worker);
    }

    /// A query was sent because another upstream fell silent.
    #[cold]
    pub(crate) fn stood_in(&self, worker: Worker) {
        self.stand_ins.inc(worker);
    }

    /// A query found no room on any connection.
    #[cold]
    pub(crate) fn connections_full(&self, worker: Worker) {
        self.connections_full.inc(worker);
    }

    /// This many records of a reply did not belong to the question.
    #[cold]
    pub(crate) fn unrelated(&self, worker: Worker, records: usize) {
        self.unrelated.add(worker, records as u64);
    }

    /// A message arrived that was not the reply.
    #[cold]
    pub(crate) fn dropped(&self, worker: Worker) {
        self.dropped.inc(worker);
    }
}
