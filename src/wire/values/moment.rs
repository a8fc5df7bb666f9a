//! Points in time, as numbers: this room reads no clock.

use std::time::Duration;

/// A moment on the server's clock: nanoseconds since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// How long ago `earlier` was; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `after` from now.
    pub const fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(after.as_nanos() as u64))
    }
}
