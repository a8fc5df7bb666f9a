//! The values that options have. This file must never know how they are written, nor what they do.

use std::time::Duration;

use corefile::Token;
use wire::{Name, Rcode};

/// The maximum number of upstreams in a group, with files and host names expanded: the bits of a word.
pub(crate) const MAX_UPSTREAMS: usize = 64;

/// The policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A fresh order for each query.
    Random,
    /// Each query starts at the next one.
    RoundRobin,
    /// As written.
    Sequential,
    /// A fresh order for each query, in which upstreams with more weight come first more often.
    Weighted,
    /// By their smoothed RTT.
    Fastest,
    /// A fresh order for each query, and so many are queried at once.
    Race(usize),
    /// As written, and so many are queried at once.
    Together(usize),
    /// As `Weighted`, and so many are queried at once.
    WeightedTogether(usize),
}

impl Policy {
    /// The number of upstreams that are queried at once.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Race(count) | Self::Together(count) | Self::WeightedTogether(count) => count,
            _ => 1,
        }
    }
}

/// Which answer ends the search, besides those that `failover` and `circuit_breaker` name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Any; of several that are asked at once the first that is a positive one or a denial, if
    /// there is one.
    Any,
    /// The first.
    First,
    /// One without an error, if there is one.
    Positive,
}

/// When a circuit opens, and how long it stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// The rcodes of bad answers.
    pub rcodes: Vec<Rcode>,
    /// The percentage of bad answers that opens it.
    pub ratio: u8,
    /// The time over which answers are counted.
    pub window: Duration,
    /// The minimum number of answers.
    pub queries: u32,
    /// How long it stays open the first time.
    pub hold: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            rcodes: vec![Rcode::SERVFAIL, Rcode::REFUSED],
            ratio: 50,
            window: Duration::from_secs(10),
            queries: 10,
            hold: Duration::from_secs(1),
        }
    }
}

/// When a query is hedged, and how many queries at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// The percentile of the RTT after which a query is hedged.
    pub percentile: u8,
    /// The percentage of queries that may be hedged.
    pub share: u8,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { percentile: 95, share: 10 }
    }
}

/// `tls`: the files it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Our certificate and its key.
    pub identity: Option<(Token, Token)>,
    /// The file of CAs to trust instead of the system's.
    pub ca: Option<Token>,
}

/// `health_check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The time between two checks.
    pub interval: Duration,
    /// The RD flag of the check.
    pub recursion: bool,
    /// The name whose NS records are queried.
    pub domain: Name,
}
