//! The real program beside independent servers: what they answer is the expectation.
//!
//! hickory-server runs inside the test, the others are programs of Debian packages; `make test`
//! installs what is missing. Replies are read with hickory-proto, so that a mistake of our own
//! reader cannot hide one of our writer.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod authority;
mod catalogs;
mod dnstap;
mod encrypted;
mod grpc;
mod hickory;
mod hickory_primary;
#[allow(dead_code, reason = "its other half is for e2e tests")]
#[path = "../e2e/kit.rs"]
mod kit;
mod listeners;
mod many_updates;
mod master;
mod nameservers;
mod outgoing;
mod redisc;
mod secondary;
mod signing;
mod tls;
mod tools;
mod transfers;
mod tsig;
mod unbound;
mod updates;

use tools::{ask, compare, peer};
