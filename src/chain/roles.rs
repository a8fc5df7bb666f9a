//! The interfaces that plugins offer to each other, found by type and never by name.

use std::net::SocketAddr;

use wire::{Moment, Name, Query, Transport};

/// The roles a plugin takes; all are optional.
pub struct Roles<'a> {
    /// Bytes from the plugin's start on that the usual query reads: what is worth fetching of the
    /// plugin itself. All of it, unless it says otherwise.
    pub reads: usize,
    /// How many stages of [`crate::ServeDns::prefetch`] it wants, four at most; none if it
    /// has little to fetch.
    pub prefetch_stages: u8,
    /// It may have to wait on the way out: [`crate::ServeDns::must_wait`].
    pub waits_on_reply: bool,
    /// It wants to see replies as they go out: [`crate::ServeDns::on_sent`].
    pub sees_sent: bool,
    /// It has something to wait for before the server is ready.
    pub ready: Option<&'a dyn Ready>,
    /// It knows something about a query before the chain runs.
    pub metadata: Option<&'a dyn CollectMetadata>,
    /// It knows the search path of clients.
    pub search_path: Option<&'a dyn SearchPath>,
    /// It wants to see what others exchange with upstreams.
    pub tap: Option<&'a dyn Tap>,
}

impl Default for Roles<'_> {
    fn default() -> Self {
        Self {
            reads: usize::MAX,
            prefetch_stages: 0,
            waits_on_reply: false,
            sees_sent: false,
            ready: None,
            metadata: None,
            search_path: None,
            tap: None,
        }
    }
}

/// A plugin that records what goes to upstreams and what comes back.
pub trait Tap: Send + Sync {
    /// Takes note of one exchange for `query`. On the way of queries; does not wait.
    fn exchanged(&self, query: &Query, exchange: &Exchange<'_>);
}

/// A question to an upstream and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The upstream.
    pub upstream: SocketAddr,
    /// Where it was asked from, if a socket came to be.
    pub local: Option<SocketAddr>,
    /// How.
    pub transport: Transport,
    /// The message that was sent.
    pub question: &'a [u8],
    /// When.
    pub asked: Moment,
    /// What came back, and when; nothing if nothing came that was the reply.
    pub reply: Option<(&'a [u8], Moment)>,
}

/// A plugin that knows which suffixes a client's resolver tries.
pub trait SearchPath: Send + Sync {
    /// Adds the suffixes of the query's client in the order in which they are tried, the root last;
    /// nothing if they are not known.
    fn search_path(&self, query: &Query, path: &mut Vec<Name>);
}

/// A plugin that is not always ready to serve.
pub trait Ready: Send + Sync {
    /// Whether it can serve now; if not, why, for the operator.
    fn ready(&self) -> Result<(), String>;
}

/// A plugin that provides metadata on the way in.
pub trait CollectMetadata: Send + Sync {
    /// Sets its labels with [`Query::set_metadata`], or [`Query::offer_metadata`] if their values cost
    /// something to make.
    fn collect(&self, query: &mut Query);
}
