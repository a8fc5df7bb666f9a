//! A query: the message, the client, and the state that the server keeps.

use std::ops::{Deref, DerefMut};

use wire::{MAX_MESSAGE, Rejection, Request};

use crate::client::Client;
use crate::plugin_state::StateKey;
use crate::state::State;

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

    /// The state that a plugin keeps for this query.
    #[inline]
    pub fn plugin_state<T: Default + Send + 'static>(&mut self, key: StateKey<T>) -> &mut T {
        self.state.plugins.get(key)
    }
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
