//! Everything that the server tells its operators: log lines and metrics.
//!
//! | file | content |
//! |---|---|
//! | [`log`], [`json`] | log lines, written by a thread of their own as text or JSON |
//! | [`record`], [`format`] | the values of a query that log lines show, and texts with placeholders for them |
//! | [`metrics`] | counters, gauges and histograms with one cell for each worker |
//! | [`dns_metrics`] | CoreDNS's request metrics |
//!
//! It must never know: plugins, chains, sockets, and the reader of its output.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

pub mod dns_metrics;
pub mod format;
pub mod json;
mod level;
pub mod log;
pub mod metrics;
pub mod record;
