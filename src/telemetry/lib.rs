//! Everything that the server tells its operators: log lines and metrics.
//!
//! [`log`] writes lines from a thread of its own, as text or as [`json`]. [`format`] fills in texts with
//! placeholders from a query and its reply, which [`seen`] reads for log lines. [`metrics`] has counters,
//! gauges and histograms with one cell per worker; [`dns_metrics`] are CoreDNS's request metrics.
//!
//! It must never know: plugins, the chain, and who reads its output.

#![forbid(unsafe_code)]
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
pub mod seen;
pub mod standing;
