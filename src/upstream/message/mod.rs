//! The message that goes to an upstream, and what is taken from the message that comes back.
//!
//! It must never know: sockets, clocks, groups, the health of an upstream.

mod own_data;
mod question;
mod received;

pub(crate) use own_data::OwnData;
pub(crate) use question::Question;
pub(crate) use received::{Taken, take};
