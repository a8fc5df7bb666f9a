//! The interfaces that plugins offer to each other, found by type and never by name.

use std::net::SocketAddr;

use wire::{Moment, Name, Query, Transport};

/// The roles a plugin takes; all are optional.
pub struct Roles<'a> {
    /// Bytes from the start of the plugin that the usual query reads, which are worth prefetching
    /// (default: the whole plugin).
    pub reads: usize,
    /// Number of stages of [`crate::ServeDns::prefetch`], at most four; 0 if it has little to
    /// prefetch.
    pub prefetch_stages: u8,
    /// It may have to wait on the way out: [`crate::ServeDns::must_wait`].
    pub waits_on_reply: bool,
    /// It sees replies as they are sent: [`crate::ServeDns::on_sent`].
    pub sees_sent: bool,
    /// It may delay the readiness of the server.
    pub ready: Option<&'a dyn Ready>,
    /// It provides metadata of a query before the chain runs.
    pub metadata: Option<&'a dyn CollectMetadata>,
    /// It knows the search path of clients.
    pub search_path: Option<&'a dyn SearchPath>,
    /// It records the exchanges of other plugins with upstreams.
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

/// A plugin that records messages to and from upstreams.
pub trait Tap: Send + Sync {
    /// Records one exchange for `query`. Called on the data path: must not wait.
    fn exchanged(&self, query: &Query, exchange: &Exchange<'_>);
}

/// One exchange with an upstream.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The upstream.
    pub upstream: SocketAddr,
    /// The local address, if a socket was opened.
    pub local: Option<SocketAddr>,
    /// The transport.
    pub transport: Transport,
    /// The message that was sent.
    pub question: &'a [u8],
    /// The moment of sending.
    pub asked: Moment,
    /// The reply and the moment of its arrival; `None` without a reply.
    pub reply: Option<(&'a [u8], Moment)>,
}

/// A plugin that knows which suffixes a client's resolver tries.
pub trait SearchPath: Send + Sync {
    /// Adds the suffixes of the query's client in the order in which they are tried, the root last.
    /// Adds nothing if they are unknown.
    fn search_path(&self, query: &Query, path: &mut Vec<Name>);
}

/// A plugin that is not always ready to serve.
pub trait Ready: Send + Sync {
    /// Whether it can serve now; if not, the reason, for the operator.
    fn ready(&self) -> Result<(), String>;
}

/// A plugin that provides metadata on the way in.
pub trait CollectMetadata: Send + Sync {
    /// Sets its labels with [`Query::set_metadata`], or with [`Query::offer_metadata`] if their
    /// values are expensive.
    fn collect(&self, query: &mut Query);
}
