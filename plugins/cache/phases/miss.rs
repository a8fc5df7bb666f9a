//! A miss: asking the rest of the chain, for one or for many.

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
    /// After [`Step::Wait`]: nothing is known, or only stale data that wants verification.
    pub(super) async fn wait(
        &self,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) -> Served {
        let mut missed_at_version = query.slot(self.query_state).missed_at_version.take();
        loop {
            // Somebody may have been faster since `on_query` looked.
            let looked = missed_at_version.take() == Some(self.store.version(&Key::of(query)));
            let found = if looked { Found::Miss } else { self.find(query) };
            match (found, self.config.stale) {
                (Found::Fresh(_, entry), _) => return self.write_fresh(&entry, query, reply),
                (Found::Stale(_, entry), Some(stale)) => {
                    // Boxed, because it is rare: what waits for each miss stays small.
                    Box::pin(self.verify(&entry, stale, query, reply, next)).await;
                    return Ok(Step::Done);
                }
                _ => {}
            }
            // A lookup of our own never waits for another query: that one may wait for us. And
            // `loop` finds loops by HINFO questions that come back, so each must go through.
            if query.depth > 0 || query.qtype() == Rtype::HINFO {
                self.resolve(query, reply, next, Purpose::Miss, || false).await;
                return Ok(Step::Done);
            }
            let Some(member) = self.flights.join(query) else {
                self.metrics(query).refused.inc(query.worker);
                // Not SERVFAIL: clients and resolvers remember that.
                return Err(Failure::rcode(Rcode::REFUSED)
                    .extended(ede::OTHER, "too many queries wait for this answer"));
            };
            match member.turn().await {
                Turn::Lead(leader) => {
                    let has_followers = || leader.has_followers();
                    let asked =
                        self.resolve(query, reply, next, Purpose::Miss, has_followers).await;
                    leader.finish(asked.0);
                    return Ok(Step::Done);
                }
                Turn::Outcome(outcome) if !outcome.is_for(query) => {
                    query.now = (self.clock.now)();
                }
                Turn::Outcome(outcome) => {
                    self.metrics(query).coalesced.inc(query.worker);
                    return self.write_outcome(outcome, query, reply);
                }
            }
        }
    }

    /// Says to one who waited what another was told.
    fn write_outcome(&self, outcome: Outcome, query: &mut Query, reply: &mut Reply) -> Served {
        match outcome {
            Outcome::Answer { entry, .. } => {
                entry.write(entry.lifetime(), query, reply);
                self.write_scope(entry.subnet(), query, reply);
                Ok(Step::Done)
            }
            Outcome::Failed { rcode, extended, cause } => {
                let cause = cause.map(|cause| cause.to_string().into());
                Err(Failure { rcode, extended, cause })
            }
            Outcome::Silence | Outcome::Private => Ok(Step::Drop),
        }
    }
}
