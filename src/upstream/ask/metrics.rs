//! The metrics of groups.

use telemetry::metrics::{Counter, counter};

use crate::config::Owner;

/// Registers the metrics of `owner` that CoreDNS exposes at zero, even if there is no group.
pub fn baseline_metrics(owner: &Owner) {
    broken(owner);
    rejected(owner);
}

/// Queries for which every upstream was down.
pub(super) fn broken(owner: &Owner) -> Counter {
    let help = "Counter of the number of complete failures of the healthchecks.";
    counter(owner.broken, help, &[], &[])
}

/// Queries over `max_concurrent`.
pub(super) fn rejected(owner: &Owner) -> Counter {
    let help = "Counter of the number of queries rejected because the concurrent queries were at \
                maximum.";
    counter(owner.rejected, help, &[], &[])
}

/// Queries over the bound of the process.
pub(super) fn overloaded(owner: &Owner) -> Counter {
    let help = "Queries refused because too many queries were waiting for upstreams.";
    counter(owner.metrics.overload_rejects, help, &[], &[])
}

/// Hedges that the token bucket denied.
pub(super) fn unhedged(owner: &Owner) -> Counter {
    let help = "Late queries that were not hedged because too many hedges had been sent.";
    counter(owner.metrics.hedges_denied, help, &[], &[])
}
