//! Catena: a pluggable DNS server.
//!
//! A Corefile describes server blocks; each becomes a chain of plugins that answer, change or
//! refuse queries. `ARCHITECTURE.md` is the map. A binary with other plugins is
//! `catena::main(REGISTRY)`.

mod cli;
pub mod server;

pub use cli::main;
