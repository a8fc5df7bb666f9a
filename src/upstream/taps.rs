//! Plugins of the same chain that record what goes to upstreams and what comes back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use chain::setup::Peers;
use chain::{Chain, Exchange, Query};
use wire::Moment;

/// Knows whether there are any.
pub(super) struct Watchers {
    peers: Peers,
    any: AtomicBool,
}

impl Watchers {
    /// None, until the chain is complete.
    pub(super) fn new(peers: Peers) -> Self {
        Self { peers, any: AtomicBool::new(false) }
    }

    /// Looks for them.
    pub(super) fn look(&self, chain: &Chain) {
        let any = chain.links().iter().any(|link| link.plugin.roles().tap.is_some());
        self.any.store(any, Ordering::Relaxed);
    }

    /// Those who record what is asked for `query`.
    pub(super) fn of<'a>(&self, query: &'a mut Query) -> Taps<'a> {
        let any = self.any.load(Ordering::Relaxed);
        Taps { chain: if any { self.peers.chain() } else { None }, query }
    }
}

/// Those who record what is asked for one query.
pub(super) struct Taps<'a> {
    chain: Option<Arc<Chain>>,
    query: &'a mut Query,
}

impl Taps<'_> {
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
    pub(super) fn tell(&mut self, exchange: &Exchange<'_>) {
        for link in self.chain.iter().flat_map(|chain| chain.links()) {
            if let Some(tap) = link.plugin.roles().tap {
                tap.exchanged(self.query, exchange);
            }
        }
    }
}
