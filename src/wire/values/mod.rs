//! Small values that messages and queries have: codes, points in time, how a query arrived, and the error of
//! a malformed message.

mod clock;
pub mod codes;
mod malformed;
pub mod moment;
pub mod transport;

pub use clock::Clock;
pub use malformed::Malformed;
