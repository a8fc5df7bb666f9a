//! Small values that messages and queries have: codes, points in time, and how a query arrived.

mod clock;
pub mod codes;
pub mod moment;
pub mod transport;

pub use clock::Clock;
