//! A query: the message, the client, and the state that the server and its plugins keep while it is in
//! flight. These types contain each other, so they are in one file.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tsig::TsigError;
use wire::{MAX_MESSAGE, Moment, Rejection, Reply, Request};

use crate::channel::Channel;
use crate::client::Client;
use crate::metadata::Metadata;
use crate::plugin_state::{PluginStates, StateKey};
use crate::spans::{SpanContext, Spans};

/// A query. It dereferences to its message.
pub struct Query {
    message: Request,
    /// The client.
    pub client: Client,
    /// What the server and its plugins keep for it.
    pub state: State,
}

impl Default for Query {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Query {
    type Target = Request;

    #[inline]
    fn deref(&self) -> &Request {
        &self.message
    }
}

impl DerefMut for Query {
    #[inline]
    fn deref_mut(&mut self) -> &mut Request {
        &mut self.message
    }
}

impl Query {
    /// An empty query, to be filled by [`Query::receive`].
    pub fn new() -> Self {
        Self { message: Request::new(), client: Client::none(), state: State::default() }
    }

    /// Copies `message` and parses it.
    ///
    /// # Errors
    /// It is not a query; see [`Request::parse`].
    pub fn receive(&mut self, message: &[u8]) -> Result<(), Rejection> {
        let buffer = self.message.buffer_mut();
        buffer.clear();
        buffer.extend_from_slice(&message[..message.len().min(MAX_MESSAGE)]);
        self.parse()
    }

    /// Parses the message in the receive buffer, and resets the state.
    ///
    /// # Errors
    /// It is not a query; see [`Request::parse`].
    #[inline]
    pub fn parse(&mut self) -> Result<(), Rejection> {
        self.state.reset();
        self.message.parse()
    }

    /// Parses the message in the receive buffer as an UPDATE message, and resets the state.
    ///
    /// # Errors
    /// It is another message, or malformed; see [`Request::parse_update`].
    pub fn parse_update(&mut self) -> Result<(), Rejection> {
        self.state.reset();
        self.message.parse_update()
    }

    /// Leaves the receive buffer, which has room for any message, to `next`, and keeps a copy of the
    /// message in a buffer of its size.
    pub fn leave_buffer_to(&mut self, next: &mut Self) {
        self.message.leave_buffer_to(&mut next.message);
    }

    /// The largest reply to this query, in octets.
    #[inline]
    pub fn reply_limit(&self) -> usize {
        match self.client.transport.is_datagram() {
            true => usize::from(self.announced_udp_size()),
            false => MAX_MESSAGE,
        }
    }

    /// The name of the key that signed this query, in lower case and wire form; `None` if the query is not
    /// signed, or its signature is not accepted. The key is one of the server block that answers.
    #[inline]
    pub fn signer_key(&self) -> Option<&[u8]> {
        let signer = self.state.signer.as_deref()?;
        (signer.error() == TsigError::NONE).then(|| signer.key())
    }

    /// What is wrong with the signature of this query, or [`TsigError::NONE`]; `None` if it has none. The
    /// server replaces the reply to a query whose signature is not accepted.
    #[inline]
    pub fn signature(&self) -> Option<TsigError> {
        self.state.signer.as_deref().map(Signer::error)
    }

    /// Whether this query has a signature that is not accepted.
    #[inline]
    pub fn is_signature_refused(&self) -> bool {
        self.signature().is_some_and(|error| error != TsigError::NONE)
    }

    /// The state that a plugin keeps for this query.
    #[inline]
    pub fn plugin_state<T: Default + Send + 'static>(&mut self, key: StateKey<T>) -> &mut T {
        self.state.plugins.get(key)
    }
}

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
    /// Judges the signature of the query, if it has one, and signs the messages of the reply.
    pub signer: Option<Box<dyn Signer>>,
}

/// A request to renew an answer in the background.
pub struct Renewal {
    /// The link of the chain that renews what it answered.
    pub link: usize,
    /// The query as that link saw it: earlier plugins may have changed it, and restore the client's.
    pub query: Box<Query>,
}

/// The signature of a query, and those of the messages of its reply, in the order in which they are sent
/// (RFC 8945).
pub trait Signer: Send {
    /// What is wrong with the signature of the query.
    fn error(&self) -> TsigError;

    /// The name of the key that the query names, in lower case and wire form.
    fn key(&self) -> &[u8];

    /// The octets that the signature of this reply needs, which truncation leaves free; `None` if it is
    /// sent without one.
    fn reserve(&self, reply: &Reply) -> Option<usize>;

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

/// The way out for several messages of one query.
#[derive(Clone)]
pub struct Outlet {
    /// The transport's side.
    pub channel: Arc<dyn Channel>,
    /// The chain's side, which completes each message.
    pub driver: Arc<dyn Complete>,
}

/// Completes the messages of a reply.
pub trait Complete: Send + Sync {
    /// Completes a message of several, so that its bytes can be sent; `false` if it must not be sent.
    fn complete(&self, query: &mut Query, reply: &mut Reply) -> bool;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use wire::{Name, Rtype};

    pub(crate) fn question(text: &str, qtype: Rtype) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(Name::from_text(text).unwrap().as_wire());
        bytes.extend_from_slice(&qtype.0.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    #[test]
    fn state_starts_anew_with_each_query() {
        let mut query = Query::new();
        let key = StateKey::<u32>::new(1);
        query.receive(&question("a.", Rtype::A)).unwrap();
        *query.plugin_state(key) = 7;
        query.state.depth = 3;
        query.receive(&question("a.", Rtype::A)).unwrap();
        assert_eq!((*query.plugin_state(key), query.state.depth), (0, 0));
    }

    #[test]
    fn datagrams_bound_the_reply() {
        let mut query = Query::new();
        query.receive(&question("a.", Rtype::A)).unwrap();
        assert_eq!(query.reply_limit(), 512);
        query.client.transport = wire::Transport::Tcp;
        assert_eq!(query.reply_limit(), MAX_MESSAGE);
    }
}
