//! Which store for the `cache` plugin: ours, quick_cache or moka?
//!
//! First what a hit costs: the hash of the question is there already, the key is borrowed from the
//! query, and what comes out is an `Arc` of the entry. 10,000 entries, each asked for equally often.
//! Prints nanoseconds per hit: the median of five rounds, the stores in turn. Then how many questions
//! are hits, at CoreDNS's default capacity, for several ways of asking.
//!
//! `cargo bench --bench stores`; `NAMES=10000000` scans so many names.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]

mod cache;

fn main() {
    cache::run();
}
