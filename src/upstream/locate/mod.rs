//! The way from the words of the Corefile to addresses. Files are read and hosts are resolved
//! here.
//!
//! It must never know: the health of an upstream, groups, queries of clients.

mod destinations;
mod endpoint;
mod hosts;
pub(crate) mod resolv;
pub(crate) mod tls;

pub(crate) use destinations::{AddressSource, Destination, Destinations, destinations};
pub(crate) use endpoint::Endpoint;
pub(crate) use hosts::{Host, KnownHosts, Resolver};
