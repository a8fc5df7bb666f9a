//! The two halves of a cache.

/// Which half of the cache a directive speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Partition {
    /// Answers and referrals.
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
