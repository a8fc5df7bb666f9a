//! Names, queries and replies as bytes.
//!
//! This room turns the bytes of a DNS message into meaning and back: a [`Request`] is its bytes plus
//! a few offsets, a [`Reply`] is a growing buffer. Typed RDATA exists only where code edits the inside
//! of a record ([`typed`]).
//!
//! It must never know: sockets, clocks, async, configuration, plugins.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

pub mod answer;
mod compress;
pub mod edns;
mod endpoint;
mod map;
pub mod name;
pub mod prefetch;
pub mod rdata;
pub mod record;
pub mod reply;
pub mod request;
pub mod typed;
mod values;

pub use answer::least_ttl;
pub use codes::{Class, Opcode, Rcode, Rtype};
pub use edns::{Edns, EdnsOption};
pub use endpoint::{Endpoint, Scheme};
pub use map::{HashIndex, SuffixMap, SuffixTable, Zoned, hash};
pub use moment::Moment;
pub use name::{Name, NameBuf, NameError};
pub use rdata::Rdata;
pub use record::{Message, Record, Section};
pub use reply::{AliasChain, Draft, Failure, NewRecord, Origin, Reply};
pub use request::{Flag, Rejection, Request};
pub use transport::{Family, Transport};
pub use values::{Clock, Malformed, codes, moment, transport};

/// Length of the fixed DNS header (RFC 1035 section 4.1.1).
pub const HEADER: usize = 12;
/// The largest message any transport carries.
pub const MAX_MESSAGE: usize = 65_535;
/// UDP payload that every resolver accepts without EDNS (RFC 1035 section 4.2.1).
pub const MIN_UDP_PAYLOAD: u16 = 512;
/// UDP payload that nearly every path of the Internet carries without fragments (DNS flag day 2020,
/// RFC 9715 appendix A).
pub const SAFE_UDP_PAYLOAD: u16 = 1232;
