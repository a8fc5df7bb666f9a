//! A query, the reply to it, and what becomes of them.

use std::sync::Arc;

use wire::Reply;

use crate::BoxFuture;
use crate::channel::Channel;
use crate::query::{Complete, Query};

/// A query, the reply to it, and their outcome. Exchanges are pooled per worker: their memory is used
/// again for the next query.
pub struct Exchange {
    /// The query.
    pub query: Query,
    /// The reply.
    pub reply: Reply,
    /// What becomes of them; [`Outcome::Silent`] until the server says otherwise.
    pub outcome: Outcome,
    /// Takes messages before the last; set by a stream transport before an exchange continues.
    pub channel: Option<Arc<dyn Channel>>,
}

/// What becomes of a query.
pub enum Outcome {
    /// The reply is complete: its bytes go to the client.
    Send,
    /// The client gets nothing.
    Silent,
    /// There is no answer yet: it needs to wait.
    Wait(Pending),
}

/// The rest of an exchange that must wait.
pub struct Pending {
    /// Continues the exchange.
    pub driver: Arc<dyn Drive>,
    /// Where in the chain it continues.
    pub place: Place,
}

/// Where a chain waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the way in, at this link.
    In(u32),
    /// On the way out, at this link.
    Out(u32),
}

/// The server's side of exchanges that one server block answers.
pub trait Drive: Complete {
    /// Continues at `place`; resolves when the outcome is [`Outcome::Send`] or [`Outcome::Silent`].
    fn resume(
        self: Arc<Self>,
        place: Place,
        exchange: Box<Exchange>,
    ) -> BoxFuture<'static, Box<Exchange>>;

    /// Ends an exchange for which there is no room to wait, and counts it.
    fn refuse(&self, exchange: &mut Exchange);
}

impl Exchange {
    /// An empty exchange.
    pub fn new() -> Self {
        Self { query: Query::new(), reply: Reply::new(), outcome: Outcome::Silent, channel: None }
    }

    /// The rest of an exchange that must wait; its outcome is [`Outcome::Silent`] afterwards.
    #[inline]
    pub fn take_pending(&mut self) -> Option<Pending> {
        if !matches!(self.outcome, Outcome::Wait(_)) {
            return None;
        }
        match std::mem::replace(&mut self.outcome, Outcome::Silent) {
            Outcome::Wait(pending) => Some(pending),
            Outcome::Send | Outcome::Silent => None,
        }
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

impl Outcome {
    /// Whether the reply goes to the client.
    #[inline]
    pub const fn is_send(&self) -> bool {
        matches!(self, Self::Send)
    }

    /// Whether the exchange must wait.
    #[inline]
    pub const fn is_wait(&self) -> bool {
        matches!(self, Self::Wait(_))
    }
}

impl Pending {
    /// Continues the exchange.
    pub fn resume(self, exchange: Box<Exchange>) -> BoxFuture<'static, Box<Exchange>> {
        self.driver.resume(self.place, exchange)
    }

    /// Ends the exchange: there is no room to wait.
    pub fn refuse(self, exchange: &mut Exchange) {
        self.driver.refuse(exchange);
    }
}
