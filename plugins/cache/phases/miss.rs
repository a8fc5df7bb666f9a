//! Misses: one query of the chain for all clients that wait for the same answer.

use chain::{Failure, Next, Query, Reply, Served, Step};
use wire::edns::ede;
use wire::{Rcode, Rtype};

use super::outcome::Outcome;
use super::resolve::Purpose;
use super::state::Cache;
use crate::cache::entry::Key;
use crate::cache::flight::Turn;
use crate::cache::store::Found;

impl Cache {
    /// Continues after [`Step::Wait`]: no entry was found, or a stale entry that must be verified.
    pub(super) async fn wait(
        &self,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) -> Served {
        let mut missed_at_version = query.plugin_state(self.query_state).missed_at_version.take();
        loop {
            // Another query may have filled the cache since the lookup in `on_query`.
            let is_known_miss =
                missed_at_version.take() == Some(self.store.version(&Key::of(query)));
            let found = if is_known_miss { Found::Miss } else { self.find(query) };
            match (found, self.config.stale) {
                (Found::Fresh(_, entry), _) => return self.write_fresh(&entry, query, reply),
                (Found::Stale(_, entry), Some(stale)) => {
                    // Boxed, because it is rare: the future of a miss stays small.
                    Box::pin(self.verify(&entry, stale, query, reply, next)).await;
                    return Ok(Step::Done);
                }
                _ => {}
            }
            // A subquery never waits for another query, which may wait for the subquery. And `loop`
            // detects loops by HINFO queries that come back, so each of them must pass.
            if query.state.depth > 0 || query.qtype() == Rtype::HINFO {
                self.resolve(query, reply, next, Purpose::Miss, || false).await;
                return Ok(Step::Done);
            }
            let Some(member) = self.flights.join(query) else {
                self.metrics(query).refused.inc(query.client.worker);
                // Not SERVFAIL, which clients and resolvers cache.
                return Err(Failure::rcode(Rcode::REFUSED)
                    .extended(ede::OTHER, "too many queries wait for this answer"));
            };
            match member.turn().await {
                Turn::Lead(leader) => {
                    let has_followers = || leader.has_followers();
                    let (outcome, _) =
                        self.resolve(query, reply, next, Purpose::Miss, has_followers).await;
                    leader.finish(outcome);
                    return Ok(Step::Done);
                }
                Turn::Outcome(outcome) if !outcome.is_for(query) => {
                    query.client.now = (self.clock.now)();
                }
                Turn::Outcome(outcome) => {
                    self.metrics(query).coalesced.inc(query.client.worker);
                    return self.write_outcome(outcome, query, reply);
                }
            }
        }
    }

    /// Answers a coalesced query with the leader's outcome.
    fn write_outcome(&self, outcome: Outcome, query: &mut Query, reply: &mut Reply) -> Served {
        match outcome {
            Outcome::Answer { entry, .. } => {
                entry.write(entry.lifetime(), query, reply);
                self.write_scope(entry.subnet(), query, reply);
                Ok(Step::Done)
            }
            Outcome::Failed { rcode, extended, cause, origin } => {
                let cause = cause.map(|cause| cause.to_string().into());
                Err(Failure { rcode, extended, cause, origin })
            }
            Outcome::Silence | Outcome::Private => Ok(Step::Drop),
        }
    }
}
