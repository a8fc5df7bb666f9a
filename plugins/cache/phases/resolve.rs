//! Queries to the rest of the chain.

use chain::{Next, Query, Reply, yield_to_batch};
use wire::Transport;

use super::outcome::Outcome;
use super::state::Cache;
use crate::cache::entry::Key;

/// Why the chain is queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// No entry.
    Miss,
    /// The entry expires soon.
    Prefetch,
    /// The entry is stale: only a better answer replaces it.
    Renew,
}

impl Cache {
    /// Queries the rest of the chain and admits its reply. Returns the outcome, and whether it renews
    /// stale data.
    pub(super) async fn resolve(
        &self,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
        purpose: Purpose,
        has_followers: impl Fn() -> bool,
    ) -> (Outcome, bool) {
        // Upstreams set AD for clients that request it (RFC 6840 section 5.7). The cache always does, and
        // passes AD on to clients that requested it.
        let authentic = query.authentic_data();
        set_authentic(query, true);
        next.run(query, reply).await;
        self.store.prefetch_insert(&Key::of(query));
        yield_to_batch().await;
        if purpose != Purpose::Miss && reply.truncated && query.client.transport.is_datagram() {
            // No client waits that could retry over a stream.
            let transport = std::mem::replace(&mut query.client.transport, Transport::Tcp);
            reply.clear();
            next.run(query, reply).await;
            query.client.transport = transport;
        }
        set_authentic(query, authentic);
        self.admit(query, reply, purpose, has_followers)
    }
}

/// Sets or clears AD in the query that an upstream will receive.
pub(super) fn set_authentic(query: &mut Query, yes: bool) {
    if let Some(flags) = query.buffer_mut().get_mut(3) {
        *flags = if yes { *flags | 0x20 } else { *flags & !0x20 };
    }
}
