//! The metrics: those of the external plugin `redisc`, with its names, and our own.

use telemetry::metrics::{self, Counter, Gauge};

/// The counters of one listener.
pub(super) struct Numbers {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    /// Answers that were not stored because Redis was unavailable or refused them.
    pub(super) set_errors: Counter,
    /// Answers that were not stored because they are malformed.
    pub(super) drops: Counter,
    /// Answers that were not stored because too many writes waited.
    pub(super) dropped: Counter,
    /// Lookups that failed.
    pub(super) failures: Counter,
    /// Values that were invalid.
    pub(super) refused: Counter,
}

impl Numbers {
    /// The counters of the listener `server`. They continue those of an earlier configuration.
    pub(super) fn new(server: &str) -> Self {
        let counter = |name, help| metrics::counter(name, help, &["server"], &[server]);
        Self {
            hits: counter("coredns_redisc_hits_total", "The count of cache hits."),
            misses: counter("coredns_redisc_misses_total", "The count of cache misses."),
            set_errors: counter(
                "coredns_redisc_set_errors_total",
                "The count of errors when adding entries to redis.",
            ),
            drops: counter(
                "coredns_redisc_drops_total",
                "The number responses that are not cached, because the reply is malformed.",
            ),
            dropped: counter(
                "catena_redisc_writes_dropped_total",
                "Answers not written to Redis because too many were waiting to be written.",
            ),
            failures: counter(
                "catena_redisc_lookup_failures_total",
                "Lookups that timed out or that Redis answered with an error.",
            ),
            refused: counter(
                "catena_redisc_values_refused_total",
                "Values from Redis that were not an answer to the question.",
            ),
        }
    }
}

/// The gauge that tells whether lookups use Redis at `endpoint`.
pub(super) fn up(endpoint: &str) -> Gauge {
    let help = "Whether Redis is in use: 1, or 0 while lookups are suspended after failures.";
    metrics::gauge("catena_redisc_up", help, &["endpoint"], &[endpoint])
}
