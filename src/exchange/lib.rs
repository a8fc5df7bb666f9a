//! One query on its way through the server, and what becomes of it.
//!
//! A transport makes an [`Exchange`] for each message it receives. The server answers it at once, or
//! leaves a [`Pending`] in it that continues later. A [`Query`] has three parts: the message
//! ([`wire::Request`], to which it dereferences), the [`Client`], and the [`State`] that the server and
//! its plugins keep.
//!
//! It must never know: sockets, clocks, the router, any plugin, configuration.

#![forbid(unsafe_code)]

mod client;
mod exchange;
mod metadata;
mod outlet;
mod plugin_state;
mod query;
mod spans;
mod state;
mod subquery;

use std::pin::Pin;

pub use client::Client;
pub use exchange::{Drive, Exchange, Outcome, Pending, Place};
pub use outlet::{Channel, Gone, Outlet};
pub use plugin_state::StateKey;
pub use query::Query;
pub use spans::{Span, SpanContext, Spans};
pub use state::{Renewal, Signer, State};

/// A future on the heap that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
