//! Scoped answers (RFC 7871): which of them a client gets, and how many are stored.

use exchange::Query;
use wire::edns::Subnet;
use wire::{Moment, Rcode, Reply};

use super::state::Cache;
use crate::cache::entry::{Content, Entry, Facts, Key};
use crate::cache::partition::Partition;
use crate::cache::store::Found;
use crate::cache::subnet;

impl Cache {
    /// The entry that answers the query. With `ecs`, a fresh entry for the smallest network comes first.
    #[inline]
    pub(super) fn find(&self, query: &Query) -> Found {
        let found = if self.config.ecs.is_some()
            && let Some(asked) = subnet::source(query)
        {
            self.find_scoped(query, asked.source)
        } else {
            self.store.find(&Key::of(query), query.client.now, &self.config)
        };
        match &found {
            Found::Fresh(_, entry) | Found::Stale(_, entry)
                if entry.is_outdated(|| self.own_zones.version()) =>
            {
                Found::Miss
            }
            _ => found,
        }
    }

    fn find_scoped(&self, query: &Query, source: Subnet) -> Found {
        let mut best = Found::Miss;
        for subnet in self.store.lengths.around(source) {
            match self.store.find(&Key::of(query).within(subnet), query.client.now, &self.config) {
                Found::Miss => {}
                found @ Found::Stale(..) => {
                    if matches!(best, Found::Miss) {
                        best = found;
                    }
                }
                found @ Found::Fresh(..) => return found,
            }
        }
        match self.store.find(&Key::of(query), query.client.now, &self.config) {
            // An answer to a query without a network may not be for this one.
            Found::Fresh(_, entry) | Found::Stale(_, entry) if !entry.facts().scope_zero => best,
            Found::Stale(..) if !matches!(best, Found::Miss) => best,
            Found::Miss => best,
            found => found,
        }
    }

    /// The key of an answer for `subnet`; `None` if too many networks have an answer already.
    pub(super) fn scoped_key<'a>(
        &self,
        query: &'a Query,
        subnet: Option<Subnet>,
    ) -> Option<Key<'a>> {
        let key = Key::of(query);
        let Some(subnet) = subnet else { return Some(key) };
        let most = self.config.ecs?;
        let own = key.within(subnet);
        let known = [Partition::Success, Partition::Denial]
            .iter()
            .any(|&partition| self.store.tenant(partition).peek(&own).is_some());
        if !known && !self.admit_scope(&key, most, query.client.now) {
            self.metrics(query).scopes_refused.inc(query.client.worker);
            return None;
        }
        self.store.lengths.note(&subnet);
        Some(own)
    }

    /// Counts one more network for a query. Returns whether the limit allows it. The count is an entry of
    /// its own, and starts again when that entry has expired.
    fn admit_scope(&self, key: &Key<'_>, most: u32, now: Moment) -> bool {
        let partition = self.store.tenant(Partition::Success);
        let key = key.counting();
        if let Some(count) = partition.get(&key).filter(|count| count.ttl(now) > 0) {
            return count.increment() < most;
        }
        let facts = Facts { rcode: Rcode::NOERROR, ..Facts::default() };
        let content = Content::empty(self.config.success.max_ttl, facts);
        if let Some(count) = Entry::new(&key, partition.id(), now, content) {
            count.increment();
            partition.insert(count);
        }
        most > 0
    }

    /// Writes the scope of the answer, if the client itself sent its network.
    #[inline]
    pub(super) fn write_scope(&self, subnet: Option<Subnet>, query: &Query, reply: &mut Reply) {
        if self.config.ecs.is_some() && query.originals() == 0 {
            subnet::write_scope(subnet, query, reply);
        }
    }
}
