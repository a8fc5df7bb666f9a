//! Metrics without labels that are exposed from the start, at zero: dashboards and alerts rely on the
//! series.

use chain::Registry;
use telemetry::metrics::{Counter, counter};

/// Registers the server's own and those that plugins declare.
pub(crate) fn register(registry: Registry) {
    panics();
    reload_failures();
    for entry in registry {
        if let Some(kind) = entry.kind() {
            (kind.baseline_metrics)();
        }
    }
}

/// Panics that were caught.
pub(crate) fn panics() -> Counter {
    let help = "A metrics that counts the number of panics.";
    counter("coredns_panics_total", help, &[], &[])
}

/// Configurations that were refused while another one served.
pub(crate) fn reload_failures() -> Counter {
    let help = "Counter of the number of failed reload attempts.";
    counter("coredns_reload_failed_total", help, &[], &[])
}
