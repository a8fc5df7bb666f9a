//! Asking the rest of the chain.

use chain::{Next, Query, Reply, in_step};
use wire::Transport;

use super::outcome::Outcome;
use super::state::Cache;
use crate::cache::entry::Key;

/// Why the chain is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing is known.
    Miss,
    /// What is known expires soon.
    Prefetch,
    /// What is known is past its time: only what is better replaces it.
    Renew,
}

impl Cache {
    /// Asks the rest of the chain and keeps what it says; whether that renews stale data.
    pub(super) async fn resolve(
        &self,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
        purpose: Purpose,
        has_followers: impl Fn() -> bool,
    ) -> (Outcome, bool) {
        // Upstreams tell AD to who asks for it (RFC 6840 section 5.7): the cache always does, and
        // passes it on to clients that did, too.
        let authentic = query.authentic_data();
        set_authentic(query, true);
        next.run(query, reply).await;
        self.store.prefetch_insert(&Key::of(query));
        in_step().await;
        if purpose != Purpose::Miss && reply.truncated && query.transport.is_datagram() {
            // Nobody is there to ask again over a stream.
            let transport = std::mem::replace(&mut query.transport, Transport::Tcp);
            reply.clear();
            next.run(query, reply).await;
            query.transport = transport;
        }
        set_authentic(query, authentic);
        self.admit(query, reply, purpose, has_followers)
    }
}

/// Sets AD in the query as an upstream will see it.
pub(super) fn set_authentic(query: &mut Query, yes: bool) {
    if let Some(flags) = query.buffer_mut().get_mut(3) {
        *flags = if yes { *flags | 0x20 } else { *flags & !0x20 };
    }
}
