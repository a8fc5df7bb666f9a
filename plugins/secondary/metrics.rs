//! The plugin's own metrics. Those of the zones themselves are the authority's.

use std::time::Duration;

use telemetry::metrics::{self, Counter, Histogram, SHARED};

/// Counters of all uses of the plugin.
#[derive(Clone)]
pub(super) struct Metrics {
    current: Counter,
    newer: Counter,
    behind: Counter,
    unanswered: Counter,
    axfr: Counter,
    ixfr: Counter,
    failed: Counter,
    octets: Counter,
    records: Counter,
    took: Histogram,
    expired: Counter,
    notified: Counter,
    dropped: Counter,
    unsaved: Counter,
}

/// What a primary said of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It has ours.
    Current,
    /// It has a newer one.
    Newer,
    /// It has an older one.
    Behind,
    /// Nothing useful.
    Nothing,
}

/// Bounds of the durations in seconds.
const BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0];

impl Metrics {
    pub(super) fn new() -> Self {
        let checks = |result| {
            let help = "Questions to primaries for the serial of a zone, by what they said.";
            metrics::counter("catena_secondary_checks_total", help, &["result"], &[result])
        };
        let transfers = |result| {
            let help = "Transfers of zones from primaries, by what came.";
            metrics::counter("catena_secondary_transfers_total", help, &["result"], &[result])
        };
        let notifies = |result| {
            let help = "NOTIFY messages for zones of this plugin, by what became of them.";
            metrics::counter("catena_secondary_notifies_total", help, &["result"], &[result])
        };
        let plain = |name, help| metrics::counter(name, help, &[], &[]);
        Self {
            current: checks("current"),
            newer: checks("newer"),
            behind: checks("behind"),
            unanswered: checks("error"),
            axfr: transfers("axfr"),
            ixfr: transfers("ixfr"),
            failed: transfers("error"),
            octets: plain(
                "catena_secondary_transfer_bytes_total",
                "Bytes of the messages of transfers that succeeded.",
            ),
            records: plain(
                "catena_secondary_transfer_records_total",
                "Records of transfers that succeeded.",
            ),
            took: metrics::histogram(
                "catena_secondary_transfer_duration_seconds",
                "Time from the request for a transfer until the version serves.",
                &[],
                &[],
                BUCKETS,
                1e-3,
            ),
            expired: plain(
                "catena_secondary_expirations_total",
                "Zones that expired because no primary confirmed them.",
            ),
            notified: notifies("accepted"),
            dropped: notifies("dropped"),
            unsaved: plain(
                "catena_secondary_unsaved_total",
                "Versions of zones that could not be stored on the disk.",
            ),
        }
    }

    pub(super) fn checked(&self, said: Said) {
        match said {
            Said::Current => &self.current,
            Said::Newer => &self.newer,
            Said::Behind => &self.behind,
            Said::Nothing => &self.unanswered,
        }
        .inc(SHARED);
    }

    pub(super) fn transferred(&self, is_whole: bool, tally: &transfer::Tally, took: Duration) {
        if is_whole { &self.axfr } else { &self.ixfr }.inc(SHARED);
        self.octets.add(SHARED, tally.received);
        self.records.add(SHARED, tally.records);
        self.took.observe(SHARED, took.as_millis() as u64);
    }

    pub(super) fn failed(&self) {
        self.failed.inc(SHARED);
    }

    pub(super) fn expired(&self) {
        self.expired.inc(SHARED);
    }

    pub(super) fn notified(&self, accepted: bool) {
        if accepted { &self.notified } else { &self.dropped }.inc(SHARED);
    }

    pub(super) fn unsaved(&self) {
        self.unsaved.inc(SHARED);
    }
}
