//! A client of Redis for servers whose queries cannot wait long.
//!
//! `net` opens the connections; this room speaks Redis's protocol on them, bounds every wait, and
//! stops querying a Redis that fails. It must never know: DNS, plugins, the meaning of keys and values.

#![allow(
    clippy::disallowed_methods,
    reason = "one task for each of a bounded number of connections, and one that probes"
)]

mod client;
mod connection;
mod error;
mod health;
pub mod resp;

pub use client::RedisClient;
pub use connection::OnLost;
pub use error::RedisError;
pub use health::{OnHealth, RedisOptions};
