//! Answers for some networks: which of them a client gets, and how many are kept.

use exchange::Query;
use wire::edns::Subnet;
use wire::{Moment, Rcode, Reply};

use super::state::Cache;
use crate::cache::entry::{Content, Entry, Facts, Key};
use crate::cache::partition::Half;
use crate::cache::store::Found;
use crate::cache::subnet;

impl Cache {
    /// What answers the query: with `ecs` the answer for the smallest network, the freshest first.
    #[inline]
    pub(super) fn find(&self, query: &Query) -> Found {
        if self.config.ecs.is_some()
            && let Some(asked) = subnet::source(query)
        {
            return self.find_for(query, asked.source);
        }
        self.store.find(&Key::of(query), query.client.now, &self.config)
    }

    fn find_for(&self, query: &Query, source: Subnet) -> Found {
        let mut best = Found::Nothing;
        for subnet in self.store.lengths.around(source) {
            match self.store.find(&Key::of(query).within(subnet), query.client.now, &self.config) {
                Found::Nothing => {}
                found @ Found::Stale(..) => {
                    if matches!(best, Found::Nothing) {
                        best = found;
                    }
                }
                found @ Found::Fresh(..) => return found,
            }
        }
        match self.store.find(&Key::of(query), query.client.now, &self.config) {
            // An answer to who told no network may be meant for ours.
            Found::Fresh(_, entry) | Found::Stale(_, entry) if !entry.facts().for_all => best,
            Found::Stale(..) if !matches!(best, Found::Nothing) => best,
            Found::Nothing => best,
            found => found,
        }
    }

    /// The key that an answer meant for `subnet` is kept under; `None` if there are too many already.
    pub(super) fn key_for<'a>(&self, query: &'a Query, subnet: Option<Subnet>) -> Option<Key<'a>> {
        let key = Key::of(query);
        let Some(subnet) = subnet else { return Some(key) };
        let most = self.config.ecs?;
        let own = key.within(subnet);
        let known = [Half::Success, Half::Denial]
            .iter()
            .any(|&half| self.store.half(half).peek(&own).is_some());
        if !known && !self.count_scope(&key, most, query.client.now) {
            self.counts(query).scopes_refused.inc(query.client.worker);
            return None;
        }
        self.store.lengths.note(&subnet);
        Some(own)
    }

    /// Counts one network more for a question; whether there may be so many. The count is an entry of
    /// its own, and begins anew when that has expired.
    fn count_scope(&self, key: &Key<'_>, most: u32, now: Moment) -> bool {
        let half = self.store.half(Half::Success);
        let key = key.counting();
        if let Some(count) = half.get(&key).filter(|count| count.ttl(now) > 0) {
            return count.count() < most;
        }
        let facts = Facts { rcode: Rcode::NOERROR, ..Facts::default() };
        let content = Content::empty(self.config.success.max_ttl, facts);
        if let Some(count) = Entry::new(&key, half.id(), now, content) {
            count.count();
            half.insert(count);
        }
        most > 0
    }

    /// Tells the client for whom the answer is, if it told its network itself.
    #[inline]
    pub(super) fn tell_scope(&self, subnet: Option<Subnet>, query: &Query, reply: &mut Reply) {
        if self.config.ecs.is_some() && query.originals() == 0 {
            subnet::tell(subnet, query, reply);
        }
    }
}
