//! `forward`: queries other servers.
//!
//! It takes the queries under one zone, except those under others. The client gets the answer of a group
//! of upstreams, or that of the following `forward` if the Corefile wants that. The choice of an upstream
//! and the handling of failures are in `src/upstream`.

mod config;
mod plugin;
mod setup;

use chain::Kind;

/// The plugin.
pub static PLUGIN: Kind = Kind {
    name: "forward",
    doc: include_str!("README.md"),
    answers: true,
    setup: setup::setup,
    baseline_metrics: upstream::baseline_metrics,
    ..Kind::DEFAULT
};

#[cfg(test)]
mod tests;
