//! Metrics of groups that are exposed, at zero, even if there is no group.

use telemetry::metrics::{Counter, counter};

/// Registers them.
pub fn baseline_metrics() {
    broken();
    rejected();
}

/// Queries for which every upstream was down.
pub(crate) fn broken() -> Counter {
    let help = "Counter of the number of complete failures of the healthchecks.";
    counter("coredns_forward_healthcheck_broken_total", help, &[], &[])
}

/// Queries over `max_concurrent`.
pub(crate) fn rejected() -> Counter {
    let help = "Counter of the number of queries rejected because the concurrent queries were at \
                maximum.";
    counter("coredns_forward_max_concurrent_rejects_total", help, &[], &[])
}
