//! The `cache` directive as plain values.

mod options;
mod parse;

use std::time::Duration;

use chain::ZoneSet;
use corefile::{Span, Token};

use super::partition::Partition;

/// The bounds of one half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Entries, each of which stands for one KiB of memory.
    pub(super) capacity: u64,
    /// No entry lives longer, in seconds.
    pub(super) max_ttl: u32,
    /// No entry lives shorter, in seconds.
    pub(super) min_ttl: u32,
    /// Nothing of this half is kept for these zones.
    pub(super) disabled: ZoneSet,
}

/// When to renew a popular entry before it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefetch {
    /// So many hits make an entry popular.
    pub(super) amount: u32,
    /// A gap of more than this between two hits starts the count anew.
    pub(super) gap: Duration,
    /// Renew when this much of the lifetime is left.
    pub(super) percent: u32,
}

/// How to use entries past their lifetime (RFC 8767).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stale {
    /// For so many seconds after they expired.
    pub(super) up_to: u32,
    /// Ask first and wait for so long (zero: for as long as it takes).
    pub(super) verify: Option<Duration>,
    /// The TTL they are sent with.
    pub(super) ttl: u32,
    /// After a failed renewal, wait for so long before the next.
    pub(super) recheck: Duration,
}

/// `admin [ADDRESS [TOKEN_FILE]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminConfig {
    pub(super) address: String,
    pub(super) span: Span,
    pub(super) token: Option<Token>,
}

/// Where it listens unless the Corefile says something else.
pub(super) const DEFAULT_ADDRESS: &str = "127.0.0.1:8953";

/// `snapshot FILE [INTERVAL]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SnapshotConfig {
    pub(super) file: Token,
    /// Between two writings.
    pub(super) interval: Duration,
}

/// Everything a `cache` directive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// Names outside these zones pass through.
    pub(super) zones: ZoneSet,
    /// The zones as the metric label shows them.
    pub(super) zones_label: String,
    pub(super) success: Limits,
    pub(super) denial: Limits,
    pub(super) prefetch: Option<Prefetch>,
    pub(super) stale: Option<Stale>,
    pub(super) prefer_positive: bool,
    /// How long failures live, in seconds; zero: not at all.
    pub(super) servfail: u32,
    pub(super) keepttl: bool,
    /// Keep answers that are meant for some networks only, for so many networks each question.
    pub(super) ecs: Option<u32>,
    pub(super) admin: Option<AdminConfig>,
    pub(super) snapshot: Option<SnapshotConfig>,
}

/// The capacity without an option.
const DEFAULT_CAPACITY: u64 = 10_000;
/// The lifetime of positive answers is at most an hour; that of denials half of it.
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
    /// The bounds of one half.
    pub(super) fn limits(&self, partition: Partition) -> &Limits {
        match partition {
            Partition::Success => &self.success,
            Partition::Denial => &self.denial,
        }
    }
}

#[cfg(test)]
mod tests;
