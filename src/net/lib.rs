//! Sockets: the listeners that bring queries in, and the client side that asks upstreams.
//!
//! Messages are bytes here. One worker per core owns its own sockets and its own current-thread
//! runtime; a batch of queries goes to a [`Handler`] in one synchronous call, and only a query that
//! must wait becomes a task, of which there is a bounded number.
//!
//! It must never know: what a message means (beyond its length), zones, configuration, plugins.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "sockets, clocks and the tasks of connections belong here"
)]

pub mod client;
pub mod clock;
pub mod descriptors;
pub mod host;
mod listen;
mod permit;
pub mod random;
pub mod stream;
pub mod tls;
mod workers;
mod writable;

pub use client::is_shortage;
pub use listen::{
    Change, Handler, HttpSettings, ListenSpec, Listener, TcpTimeouts, has_tls, is_supported,
    needs_tls,
};
pub use permit::{Bound, Permit};
pub use workers::{
    LimitControl, Limits, Runtimes, Stats, StatsSnapshot, WaitingLimit, Workers, current_worker,
};
