//! A Kubernetes cluster as DNS sees it: services, their endpoints, namespaces and pods, in little memory.
//!
//! [`objects`] are what a program reads from an API server, cut to what names need. A [`Cluster`] keeps them,
//! packed, and finds a service by its name, and services and pods by an address. What is answered is computed
//! from them at each query, so nothing is stored for a name, a record or a reverse name.
//!
//! # Readers and writers
//!
//! The objects lie in shards: a shard is one block of octets that never changes. A change makes a new block of
//! one shard and swaps a pointer. Readers take no lock, and see a service with all its slices as of one moment.
//! Writers take turns.
//!
//! # Lists
//!
//! A list may take its time. [`Services::begin_list`] gives a mark; each object that arrives is put with it, is
//! visible at once, and [`Services::end_list`] removes the objects without the mark. So a list that starts
//! again leaves no gap, and needs no memory for a second copy.
//!
//! # What it holds
//!
//! | | octets |
//! |---|---|
//! | an endpoint with an IPv4 address (IPv6) | 4 (16), and 8 for its reverse name |
//! | the same with a hostname or a zone | 2 more, and these |
//! | a slice | 14, its ports, and about 30 in the index of writers |
//! | a service | 25, its name, namespace, ports and addresses |
//! | a pod | 40, its name and namespace, and about 30 in the index of writers |
//!
//! `tests/memory.rs` holds it there.
//!
//! It must never know: sockets, API servers, queries, configuration. Time is an argument.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod cluster;
mod dashes;
mod exposed;
mod hits;
mod index;
mod namespaces;
pub mod objects;
mod packed;
mod pods;
mod services;
mod shards;

pub use cluster::Cluster;
pub use dashes::{AddressLabel, address_of, reverse_address};
pub use exposed::Exposed;
pub use hits::{
    Hit, Part, Seen, endpoints, hash_of, hits, labels_of, matching, target_hash, weight,
};
pub use namespaces::Namespaces;
pub use objects::Detail;
pub use packed::{Endpoint, Entry, External, Port, Ports, Service, Slice};
pub use pods::{Pod, Pods};
pub use services::{Changed, Listed, Mark, Services};
