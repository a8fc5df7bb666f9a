//! Metrics without labels that CoreDNS exposes from its start, whether their plugin is used or not:
//! dashboards and alerts rely on the series.
//!
//! They are defined here once, for the plugin or room that counts, and for `prometheus`, which exposes
//! them.

use crate::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// CoreDNS's slim buckets: 0.25 ms and four times ten times that.
const SLIM_BUCKETS: &[f64] = &[0.00025, 0.0025, 0.025, 0.25, 2.5];

/// Registers all of them.
pub fn expose() {
    for make in
        [panics, reload_failures, health_failures, local_names, forward_broken, forward_rejects]
    {
        make();
    }
    health_durations();
    hosts_reloaded();
}

/// Panics that were caught.
pub fn panics() -> Counter {
    let help = "A metrics that counts the number of panics.";
    counter("coredns_panics_total", help, &[], &[])
}

/// Configurations that were refused while another one served.
pub fn reload_failures() -> Counter {
    let help = "Counter of the number of failed reload attempts.";
    counter("coredns_reload_failed_total", help, &[], &[])
}

/// How long requests to our own health endpoint took, in nanoseconds.
pub fn health_durations() -> Histogram {
    let help = "Histogram of the time (in seconds) each request took.";
    histogram("coredns_health_request_duration_seconds", help, &[], &[], SLIM_BUCKETS, 1e-9)
}

/// Requests to our own health endpoint that failed.
pub fn health_failures() -> Counter {
    let help = "The number of times the health check failed.";
    counter("coredns_health_request_failures_total", help, &[], &[])
}

/// Queries for `localhost.` in front of another name.
pub fn local_names() -> Counter {
    let help = "Counter of special localhost subdomain requests.";
    counter("coredns_local_localhost_requests_total", help, &[], &[])
}

/// When the hosts file last changed, in seconds since 1970.
pub fn hosts_reloaded() -> Gauge {
    let help = "The timestamp of the last reload of hosts file.";
    gauge("coredns_hosts_reload_timestamp_seconds", help, &[], &[])
}

/// Queries for which every upstream was down.
pub fn forward_broken() -> Counter {
    let help = "Counter of the number of complete failures of the healthchecks.";
    counter("coredns_forward_healthcheck_broken_total", help, &[], &[])
}

/// Queries over `max_concurrent`.
pub fn forward_rejects() -> Counter {
    let help = "Counter of the number of queries rejected because the concurrent queries were at \
                maximum.";
    counter("coredns_forward_max_concurrent_rejects_total", help, &[], &[])
}
