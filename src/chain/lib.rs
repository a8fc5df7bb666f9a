//! The plugin interface: everything that a plugin sees of the server.
//!
//! A plugin implements [`ServeDns`], declares itself with a [`Kind`] and is set up from its
//! directives through [`Setup`]. A [`Chain`] runs the plugins of one server block: `on_query` on the
//! way in, `on_reply` on the way out, and `serve_dns` only for plugins that must wait.
//!
//! It must never know: any plugin by name, the router, sockets other than through `net`'s client.

pub mod http;
pub mod kept;
pub mod memory;
pub mod registry;
pub mod resolver;
pub mod roles;
pub mod run;
pub mod settings;
pub mod setup;
pub mod zones;

use corefile::Diagnostic;

pub use exchange::{BoxFuture, Query};
pub use http::{HttpAddress, HttpEndpoint, HttpHandler, HttpReply, HttpRequest};
pub use kept::Kept;
pub use registry::{Entry, Kind, Registry};
pub use resolver::{Resolve, Resolver};
pub use roles::{
    CollectMetadata, Limit, OnNotify, OnUpdate, Ready, Roles, SearchPath, Sees, Tap,
    UpstreamExchange, Verdict,
};
pub use run::ahead::Batch;
pub use run::{Chain, Link, Next, ahead, spans, yield_to_batch};
pub use settings::{Filter, Setting, Settings, View};
pub use setup::{ChainRef, Key, Services, Setup};
pub use wire::{Clock, Failure, Reply};
pub use zones::{Fallthrough, OwnZones, ZoneSet};

/// What a plugin decided about a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pass the query to the next plugin.
    Next,
    /// The reply is written.
    Done,
    /// Send no reply to the client.
    Drop,
    /// The reply is written. Also run this plugin's `serve_dns` in the background, on a copy of the
    /// query with `refresh` set.
    Refresh,
    /// The plugin must wait: call its `serve_dns`.
    Wait,
}

/// A decision, or the reason why the query fails here.
pub type Served = Result<Step, Failure>;

/// A plugin.
pub trait ServeDns: Send + Sync + 'static {
    /// A hint, called for a batch of queries before any is answered: prefetch the memory that
    /// [`ServeDns::on_query`] will read for each. Each stage follows one pointer: it reads the memory
    /// that the previous stage prefetched (for stage 0 the plugin itself, as far as [`Roles::reads`]
    /// says) and prefetches the memory that it points to.
    /// Called for [`Roles::prefetch_stages`] stages.
    fn prefetch(&self, batch: Batch<'_>, stage: u8) {
        let _ = (batch, stage);
    }

    /// The way in, on the listener's thread. Must never wait.
    ///
    /// Called for questions: messages with opcode QUERY that ask for no transfer. A plugin that takes
    /// other messages says so with [`Roles::sees`]; without that they pass it by, in both directions.
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let _ = (query, reply);
        Ok(Step::Next)
    }

    /// Called after [`Step::Wait`] or [`Step::Refresh`]; may do I/O. `next.run` runs the rest of the
    /// chain, any number of times.
    ///
    /// Errors: a [`Failure`] becomes the reply, as in `on_query`.
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            next.run(query, reply).await;
            Ok(Step::Done)
        })
    }

    /// The way out, innermost first, for each plugin that passed the query on. The reply may be a
    /// failure or empty.
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        let _ = (query, reply);
    }

    /// The way out, before `on_reply`: whether this plugin must wait before it can do its part. If so,
    /// [`ServeDns::finish_reply`] is called instead of `on_reply`. Only for plugins whose
    /// [`Roles::waits_on_reply`] is set.
    fn must_wait(&self, query: &mut Query, reply: &Reply) -> bool {
        let _ = (query, reply);
        false
    }

    /// The way out, where [`ServeDns::must_wait`] returned true: does everything that `on_reply` does,
    /// and may do I/O. If the query's deadline passes, `on_reply` is called after all.
    fn finish_reply<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.on_reply(query, reply) })
    }

    /// The reply as it is sent, with id, OPT record and truncation; it can no longer change. Not called
    /// if no reply is sent, nor for lookups of our own. Only for plugins whose
    /// [`Roles::sees_sent`] is set.
    fn on_sent(&self, query: &Query, message: &[u8]) {
        let _ = (query, message);
    }

    /// Called when the chain is complete and about to serve: checks that it has what this plugin needs.
    ///
    /// # Errors
    /// A part is missing; the configuration is refused.
    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        let _ = chain;
        Ok(())
    }

    /// The interfaces that this plugin offers to others.
    fn roles(&self) -> Roles<'_> {
        Roles::default()
    }
}
