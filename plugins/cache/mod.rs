//! *cache*: answers again what the rest of the chain answered before.
//!
//! The phases of a query, each in a file of `phases/`:
//!
//! ```text
//! on_query ── fresh entry ──────────────> answer                  hit.rs
//!    │           └ popular, soon expired ─> answer, then refresh  hit.rs, refresh.rs
//!    ├─────── stale entry, immediate ────> answer, then refresh   hit.rs, refresh.rs
//!    ├─────── stale entry, verify ───────> wait                   verify.rs
//!    └─────── no entry ──────────────────> wait                   miss.rs
//! wait ────── another query in flight ───> its answer             miss.rs, ../flight.rs
//!    └─────── first of its kind ─────────> ask the chain, admit   resolve.rs, admit.rs
//! ```
//!
//! A hit is answered on the listener's thread: one lookup, no allocation, no lock taken for
//! writing. A miss queries the chain once, however many clients wait for the same answer.
//!
//! | file | content |
//! |---|---|
//! | `partition.rs`, `subnet.rs` | the two partitions of a cache; client subnets (RFC 7871) |
//! | `config.rs` | the options |
//! | `entry/` | one cached answer and its key |
//! | `store/` | all entries of the process: lookup, capacity, eviction |
//! | `flight.rs` | queries in flight, and the queries that wait for their answers |
//! | `phases/` | what happens to a query |
//! | `metrics.rs`, `admin.rs`, `snapshot.rs` | counters; list and flush over HTTP; entries on disk |
//! | `setup.rs` | from the directive to the plugin |
//!
//! Each of them knows only the files above it. The cache never stores a query's EDNS options,
//! truncated replies, transfers or notifications, and never takes two queries for equal because
//! their hashes are.

mod admin;
mod config;
mod entry;
mod flight;
mod metrics;
mod partition;
mod phases;
mod setup;
mod snapshot;
mod store;
mod subnet;
#[cfg(test)]
mod tests;

pub use setup::PLUGIN;
