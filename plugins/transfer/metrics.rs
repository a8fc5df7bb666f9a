//! What the plugin counts.

use std::sync::Arc;

use telemetry::metrics::{self, Counter};

use super::limits::Running;

pub(super) struct Metrics {
    pub(super) axfr: Counter,
    pub(super) ixfr: Counter,
    pub(super) current: Counter,
    pub(super) records: Counter,
    pub(super) octets: Counter,
    pub(super) refused_address: Counter,
    pub(super) refused_key: Counter,
    pub(super) refused_transport: Counter,
    pub(super) refused_limit: Counter,
    pub(super) failed_gone: Counter,
    pub(super) failed_timeout: Counter,
    pub(super) failed_zone: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let sent = |kind: &str| {
            metrics::counter(
                "catena_transfer_sent_total",
                "Zone transfers that were sent to their end.",
                &["kind"],
                &[kind],
            )
        };
        let refused = |reason: &str| {
            metrics::counter(
                "catena_transfer_refused_total",
                "Zone transfers that were refused.",
                &["reason"],
                &[reason],
            )
        };
        let failed = |reason: &str| {
            metrics::counter(
                "catena_transfer_failed_total",
                "Zone transfers that ended before their end.",
                &["reason"],
                &[reason],
            )
        };
        Self {
            axfr: sent("axfr"),
            ixfr: sent("ixfr"),
            current: sent("current"),
            records: metrics::counter(
                "catena_transfer_sent_records_total",
                "Records that zone transfers sent.",
                &[],
                &[],
            ),
            octets: metrics::counter(
                "catena_transfer_sent_bytes_total",
                "Bytes of the messages of zone transfers, without OPT records and signatures.",
                &[],
                &[],
            ),
            refused_address: refused("address"),
            refused_key: refused("key"),
            refused_transport: refused("transport"),
            refused_limit: refused("limit"),
            failed_gone: failed("connection"),
            failed_timeout: failed("timeout"),
            failed_zone: failed("zone"),
        }
    }
}

/// What is counted of NOTIFY messages.
pub(super) struct NotifyMetrics {
    pub(super) acknowledged: Counter,
    pub(super) failed: Counter,
    pub(super) dropped: Counter,
}

impl NotifyMetrics {
    pub(super) fn new() -> Self {
        let notified = |result: &str| {
            metrics::counter(
                "catena_transfer_notifies_total",
                "NOTIFY messages that were acknowledged, or given up after all tries.",
                &["result"],
                &[result],
            )
        };
        Self {
            acknowledged: notified("acknowledged"),
            failed: notified("failed"),
            dropped: metrics::counter(
                "catena_transfer_notifies_dropped_total",
                "NOTIFY messages that were not sent because the queue of their address was full.",
                &[],
                &[],
            ),
        }
    }
}

/// Shows how many transfers are in flight.
pub(super) fn show_running(running: &Arc<Running>) {
    let running = Arc::clone(running);
    metrics::gauge_fn(
        "catena_transfer_running",
        "Zone transfers of several messages that are in flight.",
        &[],
        &[],
        move || running.count() as f64,
    );
}

/// What the producers of catalogs count.
pub(super) struct CatalogMetrics {
    pub(super) failed: Counter,
}

impl CatalogMetrics {
    pub(super) fn new() -> Self {
        Self {
            failed: metrics::counter(
                "catena_transfer_catalog_failed_total",
                "Versions of catalog zones that were not published: they have too many zones, or are none.",
                &[],
                &[],
            ),
        }
    }
}
