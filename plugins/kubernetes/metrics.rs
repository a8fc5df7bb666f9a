//! The plugin's metrics.

use cluster::objects;
use kubeapi::Kind;
use telemetry::metrics::{self, Counter, Histogram, SHARED};

/// From a millisecond to about nine minutes, as in CoreDNS.
const BUCKETS: &[f64] = &[
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384, 32.768, 65.536, 131.072, 262.144, 524.288,
];

/// The metrics of changes.
#[derive(Clone)]
pub(super) struct Metrics {
    cluster_ip: Histogram,
    headless: Histogram,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let histogram = |kind| {
            metrics::histogram(
                "coredns_kubernetes_dns_programming_duration_seconds",
                "Histogram of the time (in seconds) it took to program a dns instance.",
                &["service_kind"],
                &[kind],
                BUCKETS,
                1e-6,
            )
        };
        Self { cluster_ip: histogram("cluster_ip"), headless: histogram("headless_with_selector") }
    }

    /// Notes how many microseconds a change of a service took.
    pub(super) fn programmed(&self, kind: objects::Kind, micros: u64) {
        match kind {
            objects::Kind::Headless => self.headless.observe(SHARED, micros),
            _ => self.cluster_ip.observe(SHARED, micros),
        }
    }

    pub(super) fn failed(&self, kind: Kind) {
        counter(
            "catena_kubernetes_failures_total",
            "Failures of lists and watches, by resource.",
            kind,
        )
        .inc(SHARED);
    }

    pub(super) fn listed(&self, kind: Kind) {
        counter("catena_kubernetes_lists_total", "Lists that were complete, by resource.", kind)
            .inc(SHARED);
    }
}

fn counter(name: &'static str, help: &'static str, kind: Kind) -> Counter {
    metrics::counter(name, help, &["resource"], &[kind.plural()])
}
