//! The metrics of the external CoreDNS plugin `fanout`, under its names.

use std::time::Duration;

use telemetry::metrics::{self, Counter, Histogram, TIME_BUCKETS, Worker};
use upstream::{Observer, PerRcode};
use wire::Rcode;

/// The metrics of one upstream.
struct Metrics {
    to: String,
    requests: Counter,
    durations: Histogram,
    rcodes: PerRcode<Counter>,
}

/// Observes the upstream at the address `to`.
pub(super) fn observer(to: &str) -> Box<dyn Observer> {
    Box::new(Metrics {
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
        rcodes: PerRcode::default(),
    })
}

impl Metrics {
    #[cold]
    fn rcode(&self, rcode: &str) -> Counter {
        metrics::counter(
            "coredns_fanout_response_rcode_count_total",
            "Counter of requests made per upstream.",
            &["rcode", "to"],
            &[rcode, &self.to],
        )
    }
}

impl Observer for Metrics {
    fn replied(&self, worker: Worker, rcode: Rcode, took: Duration) {
        self.requests.inc(worker);
        self.durations.observe(worker, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.rcodes.with(rcode, |rcode| self.rcode(rcode), |counter| counter.inc(worker));
    }
}
