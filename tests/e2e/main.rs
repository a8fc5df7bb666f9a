//! The real program over real sockets: few tests, for what cannot be seen from inside.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod axfr;
mod cache;
mod cli;
mod commands;
mod descriptors;
mod files;
mod http;
mod kit;
mod load;
mod memory;
mod outside;
mod serving;
mod sockets;
mod tls;
mod zone;
