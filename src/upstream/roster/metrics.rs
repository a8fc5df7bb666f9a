//! The metrics of an upstream.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use net::client::{Over, Watch};
use telemetry::metrics::{self, Counter, Histogram, TIME_BUCKETS, Worker};
use wire::Rcode;

use crate::config::Who;

/// Rcodes whose histogram is found without a lock; others come from no known server.
const COMMON_RCODES: usize = 24;

/// An upstream's metrics.
pub(crate) struct Numbers {
    who: &'static str,
    to: String,
    /// What the plugin of this name counts besides.
    fanout: Option<Fanout>,
    durations: [OnceLock<Histogram>; COMMON_RCODES],
    pub(crate) check_failures: Counter,
    datagrams: Datagrams,
    stream_misses: Counter,
    stream_hits: Counter,
    pub(crate) dropped: Counter,
    crowded: Counter,
    strange: Counter,
    pub(crate) silences: Counter,
    pub(crate) opened: Counter,
    hedges: Counter,
    stand_ins: Counter,
}

/// The metrics of the outside plugin `fanout`, under its names.
struct Fanout {
    to: String,
    requests: Counter,
    durations: Histogram,
    rcodes: [OnceLock<Counter>; COMMON_RCODES],
}

impl Fanout {
    fn new(to: &str) -> Self {
        Self {
            to: to.to_owned(),
            requests: metrics::counter(
                "coredns_fanout_request_count_total",
                "Counter of requests made per upstream.",
                &["to"],
                &[to],
            ),
            durations: metrics::histogram(
                "coredns_fanout_request_duration_seconds",
                "Histogram of the time each request took.",
                &["to"],
                &[to],
                TIME_BUCKETS,
                1e-9,
            ),
            rcodes: [const { OnceLock::new() }; COMMON_RCODES],
        }
    }

    fn replied(&self, worker: Worker, rcode: Rcode, nanoseconds: u64) {
        self.requests.inc(worker);
        self.durations.observe(worker, nanoseconds);
        match self.rcodes.get(usize::from(rcode.0)) {
            Some(known) => known.get_or_init(|| self.rcode(rcode)).inc(worker),
            None => self.rcode(rcode).inc(worker),
        }
    }

    #[cold]
    fn rcode(&self, rcode: Rcode) -> Counter {
        let number = rcode.0.to_string();
        metrics::counter(
            "coredns_fanout_response_rcode_count_total",
            "Counter of requests made per upstream.",
            &["rcode", "to"],
            &[rcode.mnemonic().unwrap_or(&number), &self.to],
        )
    }
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

impl Numbers {
    /// The metrics of the upstream `to` of a plugin.
    pub(crate) fn new(who: &'static str, to: &str, over: &Over) -> Self {
        let stream = match over {
            Over::Tcp => "tcp",
            // CoreDNS's words, the last two from its listeners: it does not count these.
            Over::Tls(_) => "tcp-tls",
            Over::Quic(_) => "quic",
            Over::Https(..) => "https",
            Over::H3(..) => "https3",
        };
        let cache = |name, help, proto| {
            metrics::counter(name, help, &["proxy_name", "to", "proto"], &[who, to, proto])
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
            "Messages from an upstream that were not the expected reply.",
            &["to"],
            &[to],
        );
        let own = |name, help| metrics::counter(name, help, &["to"], &[to]);
        Self {
            who,
            to: to.to_owned(),
            fanout: (who == Who::Fanout.name()).then(|| Fanout::new(to)),
            durations: [const { OnceLock::new() }; COMMON_RCODES],
            check_failures: metrics::counter(
                "coredns_proxy_healthcheck_failures_total",
                "Counter of the number of failed healthchecks.",
                &["proxy_name", "to"],
                &[who, to],
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
            crowded: own(
                "catena_forward_connections_full_total",
                "Queries not sent because all connections to an upstream were full and too many queries waited.",
            ),
            strange: own(
                "catena_forward_records_dropped_total",
                "Records dropped from upstream replies because they were unrelated to the question.",
            ),
            silences: own(
                "catena_forward_silences_total",
                "Times an upstream was detected as silent before a query timed out.",
            ),
            opened: own(
                "catena_forward_circuit_opened_total",
                "Times the circuit breaker of an upstream opened because of its answers.",
            ),
            hedges: own(
                "catena_forward_hedges_total",
                "Hedged queries: sent to an upstream because another one was late.",
            ),
            stand_ins: own(
                "catena_forward_stand_ins_total",
                "Queries sent to an upstream because another one fell silent.",
            ),
        }
    }

    /// A reply after `took`.
    #[inline]
    pub(crate) fn replied(&self, worker: Worker, rcode: Rcode, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(fanout) = &self.fanout {
            fanout.replied(worker, rcode, nanoseconds);
        }
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
            &[self.who, &self.to, rcode.mnemonic().unwrap_or(&number)],
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
    pub(crate) fn stepped_in(&self, worker: Worker) {
        self.stand_ins.inc(worker);
    }

    /// A query found no room on any connection.
    #[cold]
    pub(crate) fn crowded(&self, worker: Worker) {
        self.crowded.inc(worker);
    }

    /// This many records of a reply did not belong to the question.
    #[cold]
    pub(crate) fn strange(&self, worker: Worker, records: usize) {
        self.strange.add(worker, records as u64);
    }

    /// A message arrived that was not the reply.
    #[cold]
    pub(crate) fn dropped(&self, worker: Worker) {
        self.dropped.inc(worker);
    }
}
