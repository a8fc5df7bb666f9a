//! The two partitions of a cache.

/// A partition of the cache, with limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Partition {
    /// Positive answers and referrals.
    Success,
    /// NXDOMAIN, NODATA and failures.
    Denial,
}

impl Partition {
    /// The value of the metric label `type`.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denial => "denial",
        }
    }
}
