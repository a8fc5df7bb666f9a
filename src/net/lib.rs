//! Sockets: the listeners that bring queries in, and the client side that asks upstreams.
//!
//! Messages are bytes here. One worker per core owns its own sockets and its own current-thread
//! runtime; a batch of queries goes to a [`Handler`] in one synchronous call, and only a query that
//! must wait becomes a task, of which there is a bounded number.
//!
//! It must never know: what a message means (beyond its length), zones, configuration, plugins.

mod bind;
pub mod client;
pub mod clock;
pub mod descriptors;
mod handler;
pub mod host;
mod listener;
mod permit;
mod pool;
pub mod random;
mod room;
mod signal;
mod stats;
pub mod stream;
mod tcp;
pub mod tls;
mod udp;
mod workers;

pub use client::is_shortage;
pub use handler::Handler;
pub use listener::{ListenSpec, Listener, Protocol, TcpTimeouts};
pub use permit::{Bound, Permit};
pub use room::{Room, Waiting};
pub use stats::{Stats, StatsSnapshot};
pub use workers::{Limits, Runtimes, Workers, current_worker};
