//! The client's side of zone maintenance: what a secondary asks of its primary, and the NOTIFY that a primary
//! sends.
//!
//! A [`Client`] asks one [`Peer`]: for the SOA record, for a whole zone (AXFR, RFC 5936), for what changed
//! (IXFR, RFC 1995), over TCP or TLS (XoT, RFC 9103), signed by a key (RFC 8945) where one is given. An
//! [`Assembler`] makes a zone, or changes of one, of the messages that come; it opens no sockets and can be fed
//! with anything. Every call ends within the times of its [`Limits`], and hands out a whole zone or nothing.
//! Whoever drops a call ends it.
//!
//! Times come from the clock of `net`. It must never know: plugins, configuration, who serves the zone.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod assemble;
mod client;
mod error;
mod exchange;
mod fault;
mod peer;
mod rdata;
mod record;
mod request;
#[cfg(test)]
mod tests;

pub use assemble::{Assembled, Assembler, Tally};
pub use client::{Client, Outcome, Received};
pub use error::{TransferError, Trouble};
pub use fault::Fault;
pub use peer::{Limits, Peer, Progress};
pub use record::read_soa;
pub use request::{Kind, Request};
