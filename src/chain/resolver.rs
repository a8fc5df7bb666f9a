//! Queries of a plugin's own, answered by this server as if a client had sent them.
//!
//! A plugin that must know what this server says of another name, such as the target of an alias,
//! gets a [`Resolver`] during setup. The lookup goes through the server blocks of the client's
//! listener, with all their plugins. It must never know: how the server finds a block.

use std::sync::{Arc, OnceLock, Weak};

use exchange::{BoxFuture, Query};
use wire::{Reply, Rtype};

/// The most lookups inside each other: an alias that leads to an alias, and so on.
pub const MAX_DEPTH: u8 = 8;

/// What the server offers for this.
pub trait Resolve: Send + Sync + 'static {
    /// Whether any server block on the query's listener would take `name` (wire form).
    fn is_served(&self, query: &Query, name: &[u8]) -> bool;

    /// Runs `query`, made with [`Query::make_subquery`], through the listener's chains.
    fn resolve<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()>;
}

/// The server of a configuration, once that is complete.
#[derive(Clone, Default)]
pub struct Resolver(Arc<OnceLock<Weak<dyn Resolve>>>);

impl Resolver {
    /// Sets the server; the first one counts.
    pub fn set(&self, server: Weak<dyn Resolve>) {
        let _ = self.0.set(server);
    }

    fn server(&self) -> Option<Arc<dyn Resolve>> {
        self.0.get()?.upgrade()
    }

    /// Whether a lookup for this query would be nested too deeply.
    pub const fn is_too_deep(query: &Query) -> bool {
        query.state.depth >= MAX_DEPTH
    }

    /// Whether this server has a block for `name` (wire form) on the query's listener.
    pub fn is_served(&self, query: &Query, name: &[u8]) -> bool {
        self.server().is_some_and(|server| server.is_served(query, name))
    }

    /// The reply of this server to a query for `name` and `rtype` by the same client, with its DO bit.
    /// `None` if the configuration was replaced. The reply may be silent or a failure.
    pub fn lookup(
        &self,
        query: &Query,
        name: &[u8],
        rtype: Rtype,
    ) -> impl Future<Output = Option<Box<Reply>>> + Send + use<> {
        // The future borrows nothing: a query is not shared between threads.
        let lookup = self.server().map(|server| {
            let mut question = Box::new(Query::new());
            question.make_subquery(query, name, rtype, query.wants_dnssec());
            (server, question)
        });
        async move {
            let (server, mut question) = lookup?;
            let mut reply = Box::new(Reply::new());
            server.resolve(&mut question, &mut reply).await;
            Some(reply)
        }
    }
}
