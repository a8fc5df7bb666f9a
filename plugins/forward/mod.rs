//! `forward`: sends queries to other servers.
//!
//! It handles the queries under one zone, except those under excluded zones. It returns the answer of a
//! group of upstreams, or passes the query to the following `forward` if the Corefile says so.
//! `src/upstream` selects the upstream and handles those that do not respond.

mod config;
mod plugin;
mod setup;

use chain::Kind;

use config::OWNER;

/// The plugin.
pub static PLUGIN: Kind = Kind {
    name: "forward",
    doc: include_str!("README.md"),
    answers: true,
    setup: setup::setup,
    baseline_metrics: || upstream::baseline_metrics(&OWNER),
    ..Kind::DEFAULT
};

#[cfg(test)]
mod tests;
