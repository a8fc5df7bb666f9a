//! The metrics of groups.

use telemetry::metrics::{Counter, counter};

/// Registers those that are exposed, at zero, even if there is no group.
pub fn baseline_metrics() {
    broken();
    rejected();
}

/// Queries for which every upstream was down.
pub(super) fn broken() -> Counter {
    let help = "Counter of the number of complete failures of the healthchecks.";
    counter("coredns_forward_healthcheck_broken_total", help, &[], &[])
}

/// Queries over `max_concurrent`.
pub(super) fn rejected() -> Counter {
    let help = "Counter of the number of queries rejected because the concurrent queries were at \
                maximum.";
    counter("coredns_forward_max_concurrent_rejects_total", help, &[], &[])
}

/// Queries over the bound of the process.
pub(super) fn overloaded() -> Counter {
    let help = "Queries refused because too many queries were waiting for upstreams.";
    counter("catena_forward_overload_rejects_total", help, &[], &[])
}

/// Hedges that the token bucket denied.
pub(super) fn unhedged() -> Counter {
    let help = "Late queries that were not hedged because too many hedges had been sent.";
    counter("catena_forward_hedges_denied_total", help, &[], &[])
}
