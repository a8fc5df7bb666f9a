//! The options of the `cache` directive as plain values.

mod options;
mod parse;

use std::time::Duration;

use chain::ZoneSet;
use chain::admin::AdminConfig;
use corefile::Token;

use super::partition::Partition;

/// The limits of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The number of entries. Each stands for one KiB of memory.
    pub(super) capacity: u64,
    /// The longest lifetime of an entry, in seconds.
    pub(super) max_ttl: u32,
    /// The shortest lifetime of an entry, in seconds.
    pub(super) min_ttl: u32,
    /// The zones for which this partition stores nothing.
    pub(super) disabled: ZoneSet,
}

/// When to renew a popular entry before it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefetch {
    /// The number of hits that makes an entry popular.
    pub(super) amount: u32,
    /// A longer gap between two hits restarts the count.
    pub(super) gap: Duration,
    /// The entry is renewed when at most this percentage of its lifetime is left.
    pub(super) percent: u32,
}

/// How to use expired entries (RFC 8767).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stale {
    /// The seconds after expiry during which an entry can be used.
    pub(super) up_to: u32,
    /// If set, the cache first tries to renew the entry, for at most this time (zero: no limit).
    pub(super) verify: Option<Duration>,
    /// The TTL of stale answers.
    pub(super) ttl: u32,
    /// The pause after a failed renewal.
    pub(super) recheck: Duration,
}

/// `snapshot FILE [INTERVAL]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SnapshotConfig {
    pub(super) file: Token,
    /// The time between two writes.
    pub(super) interval: Duration,
}

/// A `cache` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// The zones to cache.
    pub(super) zones: ZoneSet,
    /// The zones as the metric label shows them.
    pub(super) zones_label: String,
    pub(super) success: Limits,
    pub(super) denial: Limits,
    pub(super) prefetch: Option<Prefetch>,
    pub(super) stale: Option<Stale>,
    pub(super) prefer_positive: bool,
    /// The lifetime of failures, in seconds. Zero: failures are not stored.
    pub(super) servfail: u32,
    pub(super) keepttl: bool,
    /// If set, answers for single networks are stored, for at most this many networks for each query.
    pub(super) ecs: Option<u32>,
    pub(super) admin: Option<AdminConfig>,
    pub(super) snapshot: Option<SnapshotConfig>,
}

/// The default capacity.
const DEFAULT_CAPACITY: u64 = 10_000;
/// The default maximum lifetime of positive answers. That of denials is half of it.
const MAX_TTL: u32 = 3600;
const MIN_TTL: u32 = 5;
impl Default for Limits {
    fn default() -> Self {
        Self {
            capacity: DEFAULT_CAPACITY,
            max_ttl: MAX_TTL,
            min_ttl: MIN_TTL,
            disabled: ZoneSet::new([]),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            zones: ZoneSet::all(),
            zones_label: ".".into(),
            success: Limits::default(),
            denial: Limits { max_ttl: MAX_TTL / 2, ..Limits::default() },
            prefetch: None,
            stale: None,
            prefer_positive: false,
            servfail: MIN_TTL,
            keepttl: false,
            ecs: None,
            admin: None,
            snapshot: None,
        }
    }
}

impl Config {
    /// The limits of one partition.
    pub(super) fn limits(&self, partition: Partition) -> &Limits {
        match partition {
            Partition::Success => &self.success,
            Partition::Denial => &self.denial,
        }
    }
}

#[cfg(test)]
mod tests;
