//! Plugins of the same chain that record the messages to and from upstreams.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chain::setup::ChainRef;
use chain::{Chain, Query, UpstreamExchange};
use net::client::{LocalEnd, Outgoing};
use tokio::time::Instant;
use wire::{Moment, Transport};

/// Whether the chain has such plugins.
pub(crate) struct Watchers {
    chain_ref: ChainRef,
    any: AtomicBool,
}

impl Watchers {
    /// No such plugins until the chain is complete.
    pub(crate) fn new(chain_ref: ChainRef) -> Self {
        Self { chain_ref, any: AtomicBool::new(false) }
    }

    /// Finds them in the complete chain.
    pub(super) fn look(&self, chain: &Chain) {
        let any = chain.plugins().iter().any(|plugin| plugin.roles().tap.is_some());
        self.any.store(any, Ordering::Relaxed);
    }

    /// The query, and the plugins that record its exchanges.
    pub(super) fn of<'a>(&self, query: &'a mut Query) -> Taps<'a> {
        let any = self.any.load(Ordering::Relaxed);
        let chain = if any { self.chain_ref.chain() } else { None };
        Taps { chain, query: Mutex::new(query) }
    }
}

/// One query, shared by its attempts, and the plugins that record them.
pub(super) struct Taps<'a> {
    chain: Option<Arc<Chain>>,
    /// All uses are in one task and none waits while it holds the lock: it is never contended.
    query: Mutex<&'a mut Query>,
}

impl Taps<'_> {
    /// Calls a function with the query.
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Query) -> T) -> T {
        what(&mut self.query.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins to record an exchange, if a plugin wants it.
    pub(super) fn record(&self, upstream: SocketAddr, transport: Transport) -> Record {
        let wanted = self.chain.is_some();
        let asked = if wanted { net::clock::now() } else { Moment(0) };
        Record { upstream, transport, asked, wanted, local: OnceLock::new() }
    }

    /// Passes an exchange to the plugins that record it; `reply` if there was one.
    pub(super) fn tell(&self, record: &Record, question: &[u8], reply: Option<&[u8]>) {
        let Some(chain) = &self.chain else { return };
        let exchange = UpstreamExchange {
            upstream: record.upstream,
            local: record.local.get().copied(),
            transport: record.transport,
            question,
            asked: record.asked,
            reply: reply.map(|reply| (reply, net::clock::now())),
        };
        for plugin in chain.plugins() {
            if let Some(tap) = plugin.roles().tap {
                self.with(|query| tap.exchanged(query, &exchange));
            }
        }
    }
}

/// What is recorded of one exchange.
pub(super) struct Record {
    upstream: SocketAddr,
    transport: Transport,
    asked: Moment,
    wanted: bool,
    /// The local address, once a socket has been chosen.
    local: OnceLock<SocketAddr>,
}

impl Record {
    /// The message to send; its local address is noted here if it is recorded.
    pub(super) fn message<'a>(
        &'a self,
        source: Option<IpAddr>,
        message: &'a [u8],
        deadline: Instant,
    ) -> Outgoing<'a> {
        let source = LocalEnd { address: source, tell: self.wanted.then_some(&self.local) };
        Outgoing { source, to: self.upstream, message, deadline }
    }
}
