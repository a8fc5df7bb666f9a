//! What the tests of several files need.

use std::path::Path;
use std::sync::Arc;

use chain::Clock;
use net::client::Network;
use transfer::Limits;
use wire::{Moment, Name};
use zone::{Builder, RecordRef, Zone, master};

use super::copy::Copy;
use super::metrics::Metrics;
use super::source::{Gate, Source};
use super::timers::Bounds;

/// The EXPIRE of zones, in seconds.
pub(super) const EXPIRE: u32 = 600;
/// Unix time, in seconds.
pub(super) const NOW: u64 = 1_700_000_000;
pub(super) const CLOCK: Clock = Clock { now: || Moment(0), unix: |_| NOW };

pub(super) fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

/// A zone with these records beside SOA and NS.
pub(super) fn zone(origin: &str, serial: u32, records: &str) -> Zone {
    let text = format!(
        "$TTL 60\n@ SOA invalid. invalid. {serial} 60 60 {EXPIRE} 60\n@ NS invalid.\n{records}"
    );
    let origin = name(origin);
    let mut builder = Builder::new(&origin, 0);
    let add = &mut |record: RecordRef<'_>| builder.add(record);
    master::parse_text(&text, &master::Options::new(&origin), add).unwrap();
    builder.finish().unwrap()
}

/// A zone without a version, which is not stored.
pub(super) fn copy(origin: &str) -> Copy {
    Copy::new(&name(origin), CLOCK, Bounds::default(), None).0
}

/// A source without primaries.
pub(super) fn source(database: Option<&Path>) -> Source {
    Source {
        identity: String::new(),
        primaries: Vec::new(),
        key: None,
        allow_notify: Vec::new(),
        limits: Limits::default(),
        bounds: Bounds::default(),
        database: database.map(Path::to_owned),
        catalog: None,
        network: Network::Os,
        gate: Arc::new(Gate::default()),
        metrics: Metrics::new(),
    }
}
