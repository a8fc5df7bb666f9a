//! The plugin's metrics.

use std::sync::Weak;

use cluster::objects;
use kubeapi::Kind;
use telemetry::metrics::{self, Counter, Histogram, SHARED};

use super::state::State;

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

/// Shows how much a cluster holds and how old it is; `server` names its API server.
pub(super) fn show(state: &Weak<State>, server: &str) {
    let gauge = |name, help, read: fn(&State) -> f64| {
        let state = Weak::clone(state);
        metrics::gauge_fn(name, help, &["cluster"], &[server], move || {
            state.upgrade().map_or(0.0, |state| read(&state))
        });
    };
    gauge(
        "catena_kubernetes_data_age_seconds",
        "Time since changes of the cluster were last heard of; 0 while all watches run.",
        |state| state.age().as_secs_f64(),
    );
    gauge(
        "catena_kubernetes_services",
        "Services that are known, imported ones included.",
        |state| (state.cluster.services.len().0 + state.cluster.imports.len().0) as f64,
    );
    gauge("catena_kubernetes_endpoint_slices", "Slices that are known.", |state| {
        state.cluster.services.len().1 as f64
    });
    gauge("catena_kubernetes_pods", "Pods that are known.", |state| {
        state.cluster.pods.len() as f64
    });
    gauge("catena_kubernetes_bytes", "Memory for what is known of the cluster.", |state| {
        state.cluster.memory() as f64
    });
}
