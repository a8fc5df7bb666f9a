//! Catena: a pluggable DNS server.
//!
//! A Corefile describes server blocks; each becomes a chain of plugins that answer, change or
//! refuse queries. `ARCHITECTURE.md` is the map. A binary with further plugins is
//! `catena::main(catena::REGISTRY.before("file", &mine::PLUGIN))`: see `examples/custom-plugin`.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod cli;
pub mod server;

pub use cli::main;
pub use plugins::REGISTRY;
// The crates that a plugin needs.
pub use {chain, corefile, wire};
