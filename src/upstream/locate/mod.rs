//! Where upstreams are: from what the Corefile says to addresses. Files are read and hosts are resolved
//! here.
//!
//! It must never know: the health of an upstream, groups, queries of clients.

mod found;
mod hosts;
pub(crate) mod resolv;
mod sites;
pub(crate) mod tls;

pub(crate) use found::Found;
pub(crate) use hosts::{Host, KnownHosts, Resolver};
pub(crate) use sites::{Moves, Site, Sites, sites};
