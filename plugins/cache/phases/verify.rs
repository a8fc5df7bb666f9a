//! Verification of stale data before it is used (`serve_stale … verify`).
//!
//! The cache tries to renew the entry first. The client gets the stale answer only if the renewal
//! fails, or takes longer than the client's limit; then the renewal continues in the background.

use std::ptr;
use std::time::Duration;

use chain::{Chain, Next, Query, Reply};
use tokio::time::{Instant, timeout_at};

use super::outcome::Outcome;
use super::resolve::{Purpose, set_authentic};
use super::state::Cache;
use crate::cache::config::Stale;
use crate::cache::entry::Entry;
use crate::cache::flight::{Leader, Member, Turn};

impl Cache {
    /// Answers from a stale entry, or from its renewal if that arrives in time.
    pub(super) async fn verify(
        &self,
        entry: &Entry,
        stale: Stale,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) {
        let verification = Verification { cache: self, entry, stale };
        if !verification.run(query, reply, next).await {
            reply.clear();
            self.write_stale(entry, stale, query, reply);
        }
    }

    /// Answers from the outcome of another query's renewal. Returns whether there was an answer for
    /// this client.
    fn write_renewal(&self, outcome: &Outcome, query: &mut Query, reply: &mut Reply) -> bool {
        let Outcome::Answer { entry, renews: true } = outcome else {
            return false;
        };
        if !entry.is_for(query) {
            return false;
        }
        self.metrics(query).coalesced.inc(query.client.worker);
        reply.clear();
        entry.write(entry.lifetime(), query, reply);
        self.write_scope(entry.subnet(), query, reply);
        true
    }

    /// Lets a copy of the query lead the flight in a task of its own, which outlives this query. If
    /// that is not possible, the lead comes back.
    fn continue_in_background(
        &self,
        leader: Leader<Outcome>,
        query: &Query,
    ) -> Result<(), Leader<Outcome>> {
        let place_of_this = |chain: &Chain| {
            chain.plugins().iter().position(|plugin| {
                let plugin = ptr::from_ref(&**plugin).cast::<()>();
                ptr::eq(plugin, ptr::from_ref(self).cast::<()>())
            })
        };
        let chain = self.chain_ref.chain();
        let place = chain.as_ref().and_then(|chain| place_of_this(chain));
        let runtime = tokio::runtime::Handle::try_current();
        let (Some(chain), Some(place), Ok(runtime)) = (chain, place, runtime) else {
            return Err(leader);
        };
        let Some(permit) = self.background.try_acquire_owned() else {
            return Err(leader);
        };
        let (mut copy, mut reply) = (Query::new(), Reply::new());
        copy.copy_from(query);
        reply.begin(&copy);
        copy.plugin_state(self.query_state).leader = Some(leader);
        runtime.spawn(async move {
            let _permit = permit;
            chain.refresh(place, &mut copy, &mut reply).await;
        });
        Ok(())
    }
}

/// The attempt to renew a stale entry before a query is answered from it.
struct Verification<'a> {
    cache: &'a Cache,
    entry: &'a Entry,
    stale: Stale,
}

impl Verification<'_> {
    /// Returns whether `reply` has new data.
    async fn run(&self, query: &mut Query, reply: &mut Reply, next: Next<'_>) -> bool {
        // A flight in progress is always joined. Only a failed attempt causes a pause.
        let pause = !self.stale.recheck.is_zero()
            && !self.entry.may_renew(query.client.now)
            && !self.cache.flights.is_in_flight(query);
        if pause {
            return false;
        }
        let Some(member) = self.cache.flights.join(query) else { return false };
        let limit = self.stale.verify.unwrap_or_default();
        if query.state.depth > 0 || limit.is_zero() {
            return self.without_limit(member, query, reply, next).await;
        }
        let deadline = Instant::now() + limit;
        let authentic = query.authentic_data();
        let work = self.with_deadline(deadline, member, query, reply, next);
        // Work that is dropped at its deadline leaves the query as it was sent upstream.
        let renewed = timeout_at(deadline, work).await.unwrap_or(false);
        set_authentic(query, authentic);
        renewed
    }

    /// Leads the flight, or waits for its leader.
    async fn without_limit(
        &self,
        member: Member<Outcome>,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) -> bool {
        // A subquery never waits for another query, which may wait for the subquery.
        let leader = if query.state.depth > 0 {
            member.lead()
        } else {
            match member.turn().await {
                Turn::Lead(leader) => Some(leader),
                Turn::Outcome(outcome) => return self.cache.write_renewal(&outcome, query, reply),
            }
        };
        self.renew(leader, query, reply, next).await
    }

    /// The same until `deadline`. A flight that this query would lead moves to the background, where it
    /// renews the entry even after the deadline.
    async fn with_deadline(
        &self,
        deadline: Instant,
        member: Member<Outcome>,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) -> bool {
        let leader = match member.turn().await {
            Turn::Lead(leader) => leader,
            Turn::Outcome(outcome) => return self.cache.write_renewal(&outcome, query, reply),
        };
        let follower = leader.follower();
        match self.cache.continue_in_background(leader, query) {
            Ok(()) => match timeout_at(deadline, follower.turn()).await {
                Ok(Turn::Outcome(outcome)) => self.cache.write_renewal(&outcome, query, reply),
                _ => false,
            },
            Err(leader) => {
                drop(follower);
                self.renew(Some(leader), query, reply, next).await
            }
        }
    }

    /// Queries the chain, and publishes the outcome if this query leads a flight.
    async fn renew(
        &self,
        leader: Option<Leader<Outcome>>,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) -> bool {
        let has_followers = || leader.as_ref().is_some_and(Leader::has_followers);
        let resolved = self.cache.resolve(query, reply, next, Purpose::Renew, has_followers);
        let (outcome, renews) = resolved.await;
        let pause = if renews { Duration::ZERO } else { self.stale.recheck };
        self.entry.end_renewal(query.client.now, pause);
        if let Some(leader) = leader {
            leader.finish(outcome);
        }
        renews
    }
}
