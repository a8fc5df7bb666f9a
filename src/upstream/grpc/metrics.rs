//! The metrics of an upstream over gRPC.

use std::time::Duration;

use telemetry::metrics::{self, Counter, Histogram, TIME_BUCKETS, Worker};
use wire::Rcode;

use crate::roster::PerRcode;

/// The plugin that a group belongs to: its name, and those of its metrics.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is described where it is counted")]
pub struct GrpcOwner {
    pub name: &'static str,
    pub requests: &'static str,
    pub durations: &'static str,
    pub responses: &'static str,
    pub replies_dropped: &'static str,
    pub records_dropped: &'static str,
}

/// An upstream's metrics.
pub(super) struct UpstreamMetrics {
    owner: &'static GrpcOwner,
    to: String,
    requests: Counter,
    durations: Histogram,
    responses: PerRcode<Counter>,
    dropped: Counter,
    unrelated: Counter,
}

impl UpstreamMetrics {
    pub(super) fn new(owner: &'static GrpcOwner, to: &str) -> Self {
        Self {
            owner,
            to: to.to_owned(),
            requests: metrics::counter(
                owner.requests,
                "Counter of requests made per upstream.",
                &["to"],
                &[to],
            ),
            durations: metrics::histogram(
                owner.durations,
                "Histogram of the time each request took.",
                &["to"],
                &[to],
                TIME_BUCKETS,
                1e-9,
            ),
            responses: PerRcode::default(),
            dropped: metrics::counter(
                owner.replies_dropped,
                "Messages from an upstream that were not the expected reply.",
                &["to"],
                &[to],
            ),
            unrelated: metrics::counter(
                owner.records_dropped,
                "Records dropped from upstream replies because they were unrelated to the question.",
                &["to"],
                &[to],
            ),
        }
    }

    /// A reply after `took`. CoreDNS counts a request when its reply came.
    pub(super) fn replied(&self, worker: Worker, rcode: Rcode, took: Duration) {
        self.requests.inc(worker);
        self.durations.observe(worker, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.responses.with(rcode, |rcode| self.response(rcode), |metric| metric.inc(worker));
    }

    #[cold]
    fn response(&self, rcode: &str) -> Counter {
        metrics::counter(
            self.owner.responses,
            "Counter of requests made per upstream.",
            &["rcode", "to"],
            &[rcode, &self.to],
        )
    }

    /// A message arrived that was not the reply.
    #[cold]
    pub(super) fn dropped(&self, worker: Worker) {
        self.dropped.inc(worker);
    }

    /// This many records of a reply did not belong to the question.
    #[cold]
    pub(super) fn unrelated(&self, worker: Worker, records: usize) {
        self.unrelated.add(worker, records as u64);
    }
}
