//! The clock of the server, which gives a [`Moment`]. It is a value: simulations and tests pass one of
//! their own.

use crate::Moment;

/// The server's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The present moment; a system call, so not for the data path: there is `query.client.now`.
    pub now: fn() -> Moment,
    /// The Unix time, in seconds, of a moment.
    pub unix: fn(Moment) -> u64,
}
