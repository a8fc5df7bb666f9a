//! What the server and its plugins keep for a query while it is in flight.

use wire::{Moment, Reply};

use crate::metadata::Metadata;
use crate::outlet::Outlet;
use crate::plugin_state::PluginStates;
use crate::query::Query;
use crate::spans::{SpanContext, Spans};

/// The state of a query. [`Query::parse`] resets it.
#[derive(Default)]
pub struct State {
    pub(crate) plugins: PluginStates,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) spans: Option<Box<Spans>>,
    pub(crate) outlet: Option<Outlet>,
    /// The key of the server block that matched: the index of its zone and server labels.
    pub key: u16,
    /// Whether this query runs in the background to renew an answer that was already sent.
    pub refresh: bool,
    /// The number of lookups of our own that led to this one; bounds loops through the chain.
    pub depth: u8,
    /// The time at which waiting for an answer ends.
    pub deadline: Option<Moment>,
    /// The renewal that a plugin requested; the server starts it.
    pub renewal: Option<Renewal>,
    /// The span that this query is a part of, if the query it was made for is traced.
    pub within: Option<SpanContext>,
    /// Signs the messages of the reply, if the query was signed.
    pub signer: Option<Box<dyn Signer>>,
}

/// A request to renew an answer in the background.
pub struct Renewal {
    /// The link of the chain that renews what it answered.
    pub link: usize,
    /// The query as that link saw it: earlier plugins may have changed it, and restore the client's.
    pub query: Box<Query>,
}

/// Signs the messages of one reply, in the order in which they are sent (RFC 8945).
pub trait Signer: Send {
    /// The octets that each signature needs: room that truncation leaves free.
    fn reserve(&self) -> usize;

    /// Replaces a reply that may not be sent, because the signature of the query was not accepted.
    /// Called before truncation, OPT record and header.
    fn review(&mut self, query: &Query, reply: &mut Reply);

    /// Appends the signature to a message that is complete otherwise.
    fn sign(&mut self, query: &Query, reply: &mut Reply);
}

impl State {
    /// Makes everything as it is for a query just received. Memory is kept.
    pub(crate) fn reset(&mut self) {
        self.plugins.reset();
        self.metadata = None;
        self.spans = None;
        self.outlet = None;
        self.refresh = false;
        self.depth = 0;
        self.deadline = None;
        self.renewal = None;
        self.within = None;
        self.signer = None;
    }
}
