//! Plugins of the same chain that record the messages to and from upstreams.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chain::setup::Peers;
use chain::{Chain, Query, UpstreamExchange};
use wire::Moment;

/// Knows whether there are any.
pub(crate) struct Watchers {
    peers: Peers,
    any: AtomicBool,
}

impl Watchers {
    /// None, until the chain is complete.
    pub(crate) fn new(peers: Peers) -> Self {
        Self { peers, any: AtomicBool::new(false) }
    }

    /// Looks for them.
    pub(super) fn look(&self, chain: &Chain) {
        let any = chain.plugins().iter().any(|plugin| plugin.roles().tap.is_some());
        self.any.store(any, Ordering::Relaxed);
    }

    /// The query, and those who record what is asked for it.
    pub(super) fn of<'a>(&self, query: &'a mut Query) -> Taps<'a> {
        let any = self.any.load(Ordering::Relaxed);
        let chain = if any { self.peers.chain() } else { None };
        Taps { chain, query: Mutex::new(query) }
    }
}

/// One query, shared by all that are asked for it, and those who record that.
pub(super) struct Taps<'a> {
    chain: Option<Arc<Chain>>,
    /// All who use it are one task, and no use of it waits: the lock is never contended.
    query: Mutex<&'a mut Query>,
}

impl Taps<'_> {
    /// Does something with the query.
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Query) -> T) -> T {
        what(&mut self.query.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The time, if anybody wants to know.
    pub(super) fn now(&self) -> Moment {
        self.chain.as_ref().map_or(Moment(0), |_| net::clock::now())
    }

    /// Where to note the address that was asked from, if anybody wants to know.
    pub(super) fn wants<'b>(
        &self,
        local: &'b OnceLock<SocketAddr>,
    ) -> Option<&'b OnceLock<SocketAddr>> {
        self.chain.as_ref().map(|_| local)
    }

    /// Tells them.
    pub(super) fn tell(&self, exchange: &UpstreamExchange<'_>) {
        for plugin in self.chain.iter().flat_map(|chain| chain.plugins()) {
            if let Some(tap) = plugin.roles().tap {
                self.with(|query| tap.exchanged(query, exchange));
            }
        }
    }
}
