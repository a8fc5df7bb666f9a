//! A client of Redis for servers whose queries cannot wait long.
//!
//! `net` opens the connections; this room speaks Redis's protocol on them, bounds every wait, and
//! stops querying a Redis that fails. It must never know: DNS, plugins, the meaning of keys and values.

mod client;
pub mod resp;

pub use client::{Lost, RedisClient, RedisError, RedisOptions, Tell};
