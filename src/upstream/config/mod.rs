//! What the Corefile says of upstreams, as plain values.
//!
//! It must never know: files, the network, clocks, nor what the values do.

mod group;
mod options;
mod parse;
mod spec;
mod values;

pub use group::{Config, Own, Who};
pub use options::Each;
pub use parse::{rcode, server_name, some, tls};
pub use values::{Breaker, Health, Hedge, Policy, Tls, Wanted};

pub(crate) use options::Place;
pub(crate) use spec::{DNS_PORT, HTTPS_PORT, Scheme, Target, To, nameserver, target};
pub(crate) use values::MAX_UPSTREAMS;

#[cfg(test)]
pub(crate) use spec::token;
