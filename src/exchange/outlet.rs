//! Replies of several messages, such as zone transfers.

use std::sync::Arc;

use wire::Reply;

use crate::BoxFuture;
use crate::exchange::Drive;
use crate::query::Query;

/// The client, or the transport's connection to it, no longer takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// The transport's end for messages before the last one of a reply. The transport bounds the messages
/// in flight, and sends none before the client has read enough of the earlier ones.
pub trait Channel: Send + Sync {
    /// Sends one finished message; resolves when the next one may be made.
    ///
    /// Errors: the connection has ended.
    fn send<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<(), Gone>>;
}

/// The way out for several messages of one query.
#[derive(Clone)]
pub struct Outlet {
    /// The transport's side.
    pub channel: Arc<dyn Channel>,
    /// The chain's side, which completes each message.
    pub driver: Arc<dyn Drive>,
}

impl Query {
    /// Gives the query a way out for several messages.
    pub fn open_outlet(&mut self, outlet: Outlet) {
        self.state.outlet = Some(outlet);
    }

    /// Takes the way out away: the next message is the last.
    pub fn close_outlet(&mut self) {
        self.state.outlet = None;
    }

    /// Whether the reply may have several messages. A datagram, a lookup of our own and a renewal take one.
    pub fn takes_several_messages(&self) -> bool {
        self.state.outlet.is_some()
    }

    /// Completes `reply`, sends it as one message of several, waits until the transport has room for
    /// the next, and begins that one. The last message is the reply that the plugin returns with.
    ///
    /// # Errors
    /// The connection has ended, or takes one message only. Nothing was sent.
    pub async fn send(&mut self, reply: &mut Reply) -> Result<(), Gone> {
        let outlet = self.state.outlet.clone().ok_or(Gone)?;
        if outlet.driver.complete(self, reply) {
            outlet.channel.send(reply.bytes()).await?;
        }
        reply.begin(self);
        Ok(())
    }
}
