//! One query on its way through the server, and what becomes of it.
//!
//! A transport makes an [`Exchange`] for each message it receives. The server answers it at once, or
//! leaves a [`Pending`] in it that continues later. A [`Query`] has three parts: the message
//! ([`wire::Request`], to which it dereferences), the [`Client`], and the [`State`] that the server and
//! its plugins keep.
//!
//! It must never know: sockets, clocks, the router, any plugin, configuration.

#![forbid(unsafe_code)]

mod annotations;
mod channel;
mod client;
mod exchange;
mod messages;
mod metadata;
mod plugin_state;
mod query;
mod spans;
mod subquery;

use std::pin::Pin;

pub use channel::{Channel, Gone};
pub use client::Client;
pub use exchange::{Drive, Exchange, Outcome, Pending, Place};
pub use plugin_state::StateKey;
pub use query::{Complete, Outlet, Query, Renewal, Signer, State};
pub use spans::{Span, SpanContext, Spans};

/// A future on the heap that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
