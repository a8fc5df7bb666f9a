//! Refresh: renews an entry in the background, after it answered a query.

use std::sync::Arc;
use std::time::Duration;

use chain::{Next, Query, Reply};

use super::resolve::Purpose;
use super::state::Cache;
use crate::cache::entry::{Entry, Key};
use crate::cache::flight::Member;
use crate::cache::store::Found;

impl Cache {
    /// Renews the entry that answered a moment ago.
    pub(super) async fn refresh(&self, query: &mut Query, reply: &mut Reply, next: Next<'_>) {
        let passed_on = query.plugin_state(self.query_state).leader.take();
        let verifies = passed_on.is_some();
        // If an equal query is in flight, its answer renews the entry.
        let leader = passed_on.or_else(|| self.flights.join(query).and_then(Member::lead));
        let Some(leader) = leader else { return };
        let old = self.entry_to_renew(query);
        let stale = self
            .config
            .stale
            .filter(|_| old.as_ref().is_some_and(|entry| entry.ttl(query.client.now) <= 0));
        if !verifies {
            self.metrics(query).prefetches.inc(query.client.worker);
        }
        let purpose = if stale.is_some() { Purpose::Renew } else { Purpose::Prefetch };
        let (outcome, renews) =
            self.resolve(query, reply, next, purpose, || leader.has_followers()).await;
        if let Some(old) = old {
            if let Some(new) = self.store.peek(&old.key()).filter(|_| renews) {
                new.inherit_hits(&old);
            }
            let failed = stale.filter(|_| !renews);
            old.end_renewal(query.client.now, failed.map_or(Duration::ZERO, |stale| stale.recheck));
        }
        leader.finish(outcome);
    }

    /// The entry that answered the client.
    fn entry_to_renew(&self, query: &Query) -> Option<Arc<Entry>> {
        match self.find(query) {
            Found::Fresh(_, entry) | Found::Stale(_, entry) => Some(entry),
            Found::Miss => self.store.peek(&Key::of(query)),
        }
    }
}
