//! The interfaces that plugins offer to each other, found by type and never by name.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use exchange::{BoxFuture, Query};
use wire::{Moment, Name, Opcode, Reply, Request, Transport};
use zone::{Live, LiveSet, Zone};

use crate::Served;

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
    /// The messages other than questions that `on_query`, `serve_dns` and `on_reply` are called for
    /// (default: none).
    pub sees: Sees,
    /// It takes notifications of changed zones.
    pub notify: Option<&'a dyn OnNotify>,
    /// It takes dynamic updates.
    pub update: Option<&'a dyn OnUpdate>,
    /// It serves zones from memory, which others may transfer.
    pub zones: Option<&'a dyn ServesZones>,
    /// It limits replies.
    pub limit: Option<&'a dyn Limit>,
    /// It may delay the readiness of the server.
    pub ready: Option<&'a dyn Ready>,
    /// It provides metadata of a query before the chain runs.
    pub metadata: Option<&'a dyn CollectMetadata>,
    /// It knows the search path of clients.
    pub search_path: Option<&'a dyn SearchPath>,
    /// It records the exchanges of other plugins with upstreams.
    pub tap: Option<&'a dyn Tap>,
    /// What it offers to plugins of the same subject, found by its type.
    pub offers: Option<&'a (dyn Any + Send + Sync)>,
}

impl Default for Roles<'_> {
    fn default() -> Self {
        Self {
            reads: usize::MAX,
            prefetch_stages: 0,
            waits_on_reply: false,
            sees_sent: false,
            sees: Sees::QUESTIONS,
            notify: None,
            update: None,
            zones: None,
            limit: None,
            ready: None,
            metadata: None,
            search_path: None,
            tap: None,
            offers: None,
        }
    }
}

/// The messages, besides questions, that a plugin's hooks are called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sees {
    /// AXFR and IXFR (RFC 5936, RFC 1995).
    pub transfers: bool,
    /// NOTIFY (RFC 1996).
    pub notifies: bool,
    /// UPDATE (RFC 2136).
    pub updates: bool,
}

impl Sees {
    /// Nothing but questions.
    pub const QUESTIONS: Self = Self { transfers: false, notifies: false, updates: false };
    /// Transfers too.
    pub const TRANSFERS: Self = Self { transfers: true, ..Self::QUESTIONS };
    /// All that another server may answer: all but updates.
    pub const FORWARDABLE: Self = Self { transfers: true, notifies: true, updates: false };
    /// All messages: for plugins that log, count, limit or mark, whatever the message asks for.
    pub const ALL: Self = Self { transfers: true, notifies: true, updates: true };

    /// Whether `query`, which is not a question, is among them.
    pub(crate) fn includes(self, query: &Request) -> bool {
        match query.opcode() {
            Opcode::QUERY => self.transfers,
            Opcode::NOTIFY => self.notifies,
            _ => self.updates,
        }
    }
}

/// A plugin that takes NOTIFY messages (RFC 1996).
pub trait OnNotify: Send + Sync {
    /// Takes the notification of a changed zone: acknowledges it with the reply, or passes it to the next
    /// plugin with [`Step::Next`](crate::Step::Next). May do I/O.
    ///
    /// Errors: a [`Failure`](wire::Failure) becomes the reply.
    fn on_notify<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply)
    -> BoxFuture<'a, Served>;
}

/// A plugin that takes UPDATE messages (RFC 2136).
pub trait OnUpdate: Send + Sync {
    /// Checks the prerequisites and makes the changes, or passes the message to the next plugin with
    /// [`Step::Next`](crate::Step::Next). May do I/O. The question is the zone section.
    ///
    /// Errors: a [`Failure`](wire::Failure) becomes the reply.
    fn on_update<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply)
    -> BoxFuture<'a, Served>;
}

/// A plugin that serves zones from memory: they can be transferred, and their changes be notified.
pub trait ServesZones: Send + Sync {
    /// The zones. They may come and go.
    fn zones(&self) -> &LiveSet;

    /// Whether no zone is missing because what lists the zones has not been read since the start. Once it is
    /// complete, listeners of the set are told.
    fn is_complete(&self) -> bool {
        true
    }

    /// Makes the version of one of them that a transfer sends, if answers are computed and the zone has no
    /// version of its own.
    fn make_version<'a>(&'a self, zone: &'a Live) -> BoxFuture<'a, Option<Arc<Zone>>> {
        let _ = zone;
        Box::pin(async { None })
    }
}

/// A plugin that limits replies. It sees every reply that goes to a client: refusals, errors and
/// answers to malformed messages as well. The rcode is final; the OPT record, truncation and a signature
/// come after it.
pub trait Limit: Send + Sync {
    /// Decides about a reply that is about to be sent. Called on the data path: must not wait. The
    /// question is empty if the message could not be read.
    fn limit(&self, query: &Query, reply: &Reply) -> Verdict;
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Send,
    /// A truncated, empty reply is sent instead, so that a client with a genuine address asks again
    /// over TCP. A reply that does not leave as a datagram is sent as it is.
    Slip,
    /// Nothing is sent.
    Drop,
}

/// A plugin that records messages to and from upstreams.
pub trait Tap: Send + Sync {
    /// Records one exchange for `query`. Called on the data path: must not wait.
    fn exchanged(&self, query: &Query, exchange: &UpstreamExchange<'_>);
}

/// One exchange with an upstream.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamExchange<'a> {
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
