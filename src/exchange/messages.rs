//! Replies of several messages, such as zone transfers.

use wire::Reply;

use crate::channel::Gone;
use crate::query::{Outlet, Query};

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
    /// The connection has ended, there is no way out, or the signature of the query is not accepted. Nothing
    /// was sent, and the reply is as it was.
    pub async fn send(&mut self, reply: &mut Reply) -> Result<(), Gone> {
        if self.is_signature_refused() {
            return Err(Gone);
        }
        let outlet = self.state.outlet.clone().ok_or(Gone)?;
        if outlet.driver.complete(self, reply) {
            outlet.channel.send(reply.bytes()).await?;
        }
        reply.begin(self);
        Ok(())
    }
}
