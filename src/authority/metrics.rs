//! Metrics of the zones of a running server, computed when they are scraped.
//!
//! A zone has series as long as it is served. Their number is bounded.

use std::sync::Once;
use std::time::UNIX_EPOCH;

use telemetry::metrics::{self, Sample, Type, Value};

use crate::roster::{Roster, Shown};

/// Zones that have series of their own: the first by name. `catena_zones` counts the others too.
const MAX_ZONES: usize = 1000;

/// A family: its name, its description, and the value for a zone, if it has one.
type Family = (&'static str, &'static str, fn(&Shown) -> Option<f64>);

const FAMILIES: &[Family] = &[
    ("catena_zone_serial", "Serial of the version of a zone that serves.", |zone| {
        zone.serial.map(f64::from)
    }),
    (
        "catena_zone_age_seconds",
        "Time since the version of a zone that serves was published.",
        |zone| zone.serial.and_then(|_| zone.age()).map(|age| age.as_secs_f64()),
    ),
    ("catena_zone_records", "Records of the version of a zone that serves.", |zone| {
        Some(zone.records as f64)
    }),
    ("catena_zone_memory_bytes", "Memory of the version of a zone that serves.", |zone| {
        Some(zone.memory as f64)
    }),
    (
        "catena_zone_history_bytes",
        "Memory of the changes of a zone that incremental transfers can send.",
        |zone| Some(zone.history as f64),
    ),
    (
        "catena_zone_next_check_timestamp_seconds",
        "Unix time at which the source of a zone is checked again.",
        |zone| {
            let next = zone.status.next_check?;
            Some(next.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
        },
    ),
    (
        "catena_zone_expires_timestamp_seconds",
        "Unix time at which a zone expires if its source stays silent.",
        |zone| {
            let expires = zone.status.expires?;
            Some(expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
        },
    ),
    ("catena_zone_journal_bytes", "Size of the journal of a zone on disk.", |zone| {
        (zone.status.journal_bytes > 0).then_some(zone.status.journal_bytes as f64)
    }),
    ("catena_zone_trouble", "1 for each zone that something keeps from being renewed.", |zone| {
        zone.status.trouble.as_ref().map(|_| 1.0)
    }),
];

/// Declares the families.
pub(crate) fn declare() {
    static DECLARED: Once = Once::new();
    DECLARED.call_once(|| {
        for &(name, help, value) in FAMILIES {
            metrics::source(name, help, &["zone", "source"], Type::Gauge, move |out| {
                let zones = Roster::of_process().first(MAX_ZONES, |_| true);
                out.extend(series(&zones, value));
            });
        }
        let help = "Zones that are served from memory, by the plugin that keeps them.";
        metrics::source("catena_zones", help, &["plugin"], Type::Gauge, |out| {
            for (plugin, count) in Roster::of_process().counts() {
                let labels = vec![plugin.to_owned()];
                out.push(Sample { labels, value: Value::Gauge(count as f64) });
            }
        });
    });
}

/// The series of a family. Of zones with the same labels, the first has one.
fn series(zones: &[Shown], value: fn(&Shown) -> Option<f64>) -> Vec<Sample> {
    let mut unique: Vec<&Shown> = zones.iter().collect();
    unique.dedup_by(|a, b| a.zone == b.zone && a.status.source == b.status.source);
    let sample = |zone: &&Shown| {
        let labels = vec![zone.zone.to_string(), zone.status.source.clone()];
        value(zone).map(|value| Sample { labels, value: Value::Gauge(value) })
    };
    unique.iter().take(MAX_ZONES).filter_map(sample).collect()
}

#[cfg(test)]
mod tests {
    use wire::Name;

    use super::*;

    fn shown(number: usize) -> Shown {
        Shown {
            zone: Name::from_text(&format!("z{number}.example.")).unwrap(),
            plugin: "file",
            view: String::new(),
            serial: Some(7),
            records: 3,
            memory: 0,
            history: 0,
            status: zone::live::Status::default(),
            now: UNIX_EPOCH,
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let zones: Vec<Shown> = (0..MAX_ZONES + 9).map(shown).collect();
        assert_eq!(series(&zones, |zone| Some(zone.records as f64)).len(), MAX_ZONES);
        let same = [shown(1), shown(1), shown(2)];
        assert_eq!(series(&same, |zone| zone.serial.map(f64::from)).len(), 2);
        assert_eq!(series(&same, |_| None).len(), 0);
    }
}
