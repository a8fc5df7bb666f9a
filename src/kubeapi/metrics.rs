//! Metrics of requests, with CoreDNS's names.

use std::time::Duration;

use telemetry::metrics::{self, SHARED};

/// The bounds of Prometheus's client.
const BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Notes the time until the head of a response came.
pub(crate) fn took(verb: &str, host: &str, time: Duration) {
    let help = "Request latency in seconds. Broken down by verb and host.";
    let name = "coredns_kubernetes_rest_client_request_duration_seconds";
    let histogram = metrics::histogram(name, help, &["verb", "host"], &[verb, host], BUCKETS, 1e-6);
    histogram.observe(SHARED, time.as_micros() as u64);
}

/// Notes the time that a request waited for `apiserver_qps`.
pub(crate) fn waited(verb: &str, host: &str, time: Duration) {
    let help = "Client side rate limiter latency in seconds. Broken down by verb and host.";
    let name = "coredns_kubernetes_rest_client_rate_limiter_duration_seconds";
    let histogram = metrics::histogram(name, help, &["verb", "host"], &[verb, host], BUCKETS, 1e-6);
    histogram.observe(SHARED, time.as_micros() as u64);
}

/// Counts a response, or the lack of one.
pub(crate) fn answered(code: &str, host: &str) {
    let help = "Number of HTTP requests, partitioned by status code, method, and host.";
    let name = "coredns_kubernetes_rest_client_requests_total";
    metrics::counter(name, help, &["code", "method", "host"], &[code, "GET", host]).inc(SHARED);
}
