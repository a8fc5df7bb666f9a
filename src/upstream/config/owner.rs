//! The plugin that a group of upstreams belongs to: the names that it gives to what happens there.

use std::fmt;
use std::time::Duration;

use telemetry::metrics::Worker;
use wire::Rcode;

/// The plugin that a group belongs to.
pub struct Owner {
    /// Its name, for log lines, diagnostics and CoreDNS's label `proxy_name`.
    pub name: &'static str,
    /// The metadata label for the address of the upstream that was queried.
    pub metadata: &'static str,
    /// The names of the metrics that CoreDNS does not have.
    pub metrics: MetricNames,
    /// The metric of queries for which every upstream was down.
    pub broken: &'static str,
    /// The metric of queries over `max_concurrent`.
    pub rejected: &'static str,
    /// Makes the observer of the upstream at an address, if the plugin has metrics of its own.
    pub observer: Option<MakeObserver>,
}

/// Makes the observer of the upstream at an address.
pub type MakeObserver = fn(&str) -> Box<dyn Observer>;

/// Observes the replies of one upstream.
pub trait Observer: Send + Sync {
    /// A reply arrived after `took`.
    fn replied(&self, worker: Worker, rcode: Rcode, took: Duration);
}

/// Names of metrics; [`metric_names`](crate::metric_names) writes them.
#[expect(missing_docs, reason = "each is described where it is counted")]
pub struct MetricNames {
    pub in_flight: &'static str,
    pub overload_rejects: &'static str,
    pub hedges_denied: &'static str,
    pub hedges: &'static str,
    pub stand_ins: &'static str,
    pub silences: &'static str,
    pub circuit_opened: &'static str,
    pub connections_full: &'static str,
    pub replies_dropped: &'static str,
    pub records_dropped: &'static str,
}

/// The names of the metrics of a family: `catena_`, the family, and what is counted. Several plugins
/// may count in one family.
#[macro_export]
macro_rules! metric_names {
    ($family:literal) => {
        $crate::MetricNames {
            in_flight: concat!("catena_", $family, "_in_flight"),
            overload_rejects: concat!("catena_", $family, "_overload_rejects_total"),
            hedges_denied: concat!("catena_", $family, "_hedges_denied_total"),
            hedges: concat!("catena_", $family, "_hedges_total"),
            stand_ins: concat!("catena_", $family, "_stand_ins_total"),
            silences: concat!("catena_", $family, "_silences_total"),
            circuit_opened: concat!("catena_", $family, "_circuit_opened_total"),
            connections_full: concat!("catena_", $family, "_connections_full_total"),
            replies_dropped: concat!("catena_", $family, "_replies_dropped_total"),
            records_dropped: concat!("catena_", $family, "_records_dropped_total"),
        }
    };
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Owner {}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// An owner for tests.
#[cfg(test)]
pub(crate) static TEST: Owner = Owner {
    name: "test",
    metadata: "test/upstream",
    metrics: metric_names!("test"),
    broken: "test_broken_total",
    rejected: "test_rejected_total",
    observer: None,
};
