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
        let mut nothing_since = query.plugin_state(self.handed).nothing_since.take();
        loop {
            // Somebody may have been faster since `on_query` looked.
            let looked = nothing_since.take() == Some(self.store.news(&Key::of(query)));
            let found = if looked { Found::Nothing } else { self.find(query) };
            match (found, self.config.stale) {
                (Found::Fresh(_, entry), _) => return self.tell_fresh(&entry, query, reply),
                (Found::Stale(_, entry), Some(stale)) => {
                    // Boxed, because it is rare: what waits for each miss stays small.
                    Box::pin(self.verify(&entry, stale, query, reply, next)).await;
                    return Ok(Step::Done);
                }
                _ => {}
            }
            // A lookup of our own never waits for another query: that one may wait for us. And
            // `loop` finds loops by HINFO questions that come back, so each must go through.
            if query.state.depth > 0 || query.qtype() == Rtype::HINFO {
                self.ask(query, reply, next, Purpose::Miss, || false).await;
                return Ok(Step::Done);
            }
            let Some(member) = self.flights.join(query) else {
                self.counts(query).refused.inc(query.client.worker);
                // Not SERVFAIL: clients and resolvers remember that.
                return Err(Failure::rcode(Rcode::REFUSED)
                    .extended(ede::OTHER, "too many queries wait for this answer"));
            };
            match member.turn().await {
                Turn::Lead(leader) => {
                    let awaited = || leader.is_awaited();
                    let asked = self.ask(query, reply, next, Purpose::Miss, awaited).await;
                    leader.tell(asked.0);
                    return Ok(Step::Done);
                }
                Turn::Outcome(outcome) if !outcome.is_for(query) => {
                    query.client.now = (self.clock.now)();
                }
                Turn::Outcome(outcome) => {
                    self.counts(query).coalesced.inc(query.client.worker);
                    return self.tell(outcome, query, reply);
                }
            }
        }
    }

    /// Says to one who waited what another was told.
    fn tell(&self, outcome: Outcome, query: &mut Query, reply: &mut Reply) -> Served {
        match outcome {
            Outcome::Answer { entry, .. } => {
                entry.write(entry.lifetime(), query, reply);
                self.tell_scope(entry.subnet(), query, reply);
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
