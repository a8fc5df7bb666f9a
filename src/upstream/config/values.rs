//! The values that options have. This file must never know how they are written, nor what they do.

use std::time::Duration;

use corefile::Token;
use wire::{Name, Rcode};

/// Upstreams of one group, files and host names expanded: the bits of a word.
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
    /// A fresh order for each query, in which those with more weight come first more often.
    Weighted,
    /// By the time that they mostly take.
    Fastest,
    /// A fresh order for each query, and so many are asked at once.
    Race(usize),
    /// As written, and so many are asked at once.
    Together(usize),
    /// As `Weighted`, and so many are asked at once.
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

/// When a circuit opens, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Answers with these speak against an upstream.
    pub rcodes: Vec<Rcode>,
    /// It opens when so many of a hundred do.
    pub ratio: u8,
    /// Among the answers of this time.
    pub window: Duration,
    /// If there are at least as many.
    pub queries: u32,
    /// For how long it is open at first.
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

/// When a query is also sent to the next upstream, and how often at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// When a reply has not come although so many of a hundred have by then.
    pub percentile: u8,
    /// For so many of a hundred queries at most.
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
    /// The authorities to trust instead of the system's.
    pub ca: Option<Token>,
}

/// `health_check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Between two checks of an upstream that failed the first.
    pub interval: Duration,
    /// RD of the check.
    pub recursion: bool,
    /// Whose NS records are asked for.
    pub domain: Name,
}
