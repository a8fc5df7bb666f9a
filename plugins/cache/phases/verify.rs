//! Stale data that is verified before it is used (`serve_stale … verify`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chain::{Next, Query, Reply};
use tokio::time::{Instant, timeout_at};

use super::outcome::Outcome;
use super::resolve::{Purpose, set_authentic};
use super::state::Cache;
use crate::cache::config::Stale;
use crate::cache::entry::Entry;
use crate::cache::flight::{Leader, Member, Turn};

/// Verifications that go on after their client was answered.
const MAX_BACKGROUND: usize = 1000;
impl Cache {
    /// Asks whether stale data can be renewed before it is used (`serve_stale … verify`).
    pub(super) async fn verify(
        &self,
        entry: &Arc<Entry>,
        stale: Stale,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) {
        let limit = stale.verify.unwrap_or_default();
        // While somebody asks, all wait for that; only an attempt that failed makes a pause.
        let pause = !stale.recheck.is_zero()
            && !entry.may_renew(query.now)
            && !self.flights.is_in_flight(query);
        let member = if pause { None } else { self.flights.join(query) };
        let renewed = match member {
            None => false,
            Some(member) if query.depth > 0 || limit.is_zero() => {
                self.verify_here(entry, stale, member, query, reply, next).await
            }
            Some(member) => {
                let until = Instant::now() + limit;
                let authentic = query.authentic_data();
                let work = self.verify_until(until, entry, stale, member, query, reply, next);
                // Work that is dropped at its deadline leaves the query as it was sent upstream.
                let renewed = timeout_at(until, work).await.unwrap_or(false);
                set_authentic(query, authentic);
                renewed
            }
        };
        if !renewed {
            reply.clear();
            self.write_stale(entry, stale, query, reply);
        }
    }

    /// Asks or waits for who does; whether `reply` has new data.
    async fn verify_here(
        &self,
        entry: &Arc<Entry>,
        stale: Stale,
        member: Member<Outcome>,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) -> bool {
        let leader = if query.depth > 0 {
            member.lead()
        } else {
            match member.turn().await {
                Turn::Lead(leader) => Some(leader),
                Turn::Outcome(outcome) => return self.write_renewal(&outcome, query, reply),
            }
        };
        let has_followers = || leader.as_ref().is_some_and(Leader::has_followers);
        let (outcome, renews) =
            self.resolve(query, reply, next, Purpose::Renew, has_followers).await;
        entry.end_renewal(query.now, if renews { Duration::ZERO } else { stale.recheck });
        if let Some(leader) = leader {
            leader.finish(outcome);
        }
        renews
    }

    /// The same, but the question goes on when the time is up, and renews the entry then.
    #[expect(clippy::too_many_arguments, reason = "one step of `verify`, split off to be timed")]
    async fn verify_until(
        &self,
        until: Instant,
        entry: &Arc<Entry>,
        stale: Stale,
        member: Member<Outcome>,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) -> bool {
        let leader = match member.turn().await {
            Turn::Lead(leader) => leader,
            Turn::Outcome(outcome) => return self.write_renewal(&outcome, query, reply),
        };
        let follower = leader.follower();
        match self.continue_in_background(leader, query) {
            Ok(()) => match timeout_at(until, follower.turn()).await {
                Ok(Turn::Outcome(outcome)) => self.write_renewal(&outcome, query, reply),
                _ => false,
            },
            Err(leader) => {
                drop(follower);
                let has_followers = || leader.has_followers();
                let (outcome, renews) =
                    self.resolve(query, reply, next, Purpose::Renew, has_followers).await;
                entry.end_renewal(query.now, if renews { Duration::ZERO } else { stale.recheck });
                leader.finish(outcome);
                renews
            }
        }
    }

    fn write_renewal(&self, outcome: &Outcome, query: &mut Query, reply: &mut Reply) -> bool {
        let Outcome::Answer { entry, renews: true } = outcome else {
            return false;
        };
        if !entry.is_for(query) {
            return false;
        }
        self.metrics(query).coalesced.inc(query.worker);
        reply.clear();
        entry.write(entry.lifetime(), query, reply);
        self.write_scope(entry.subnet(), query, reply);
        true
    }

    /// Lets a copy of the query lead, whether or not this one stays.
    fn continue_in_background(
        &self,
        leader: Leader<Outcome>,
        query: &Query,
    ) -> Result<(), Leader<Outcome>> {
        let here = |chain: &chain::Chain| {
            chain.plugins().iter().position(|plugin| {
                let plugin = std::ptr::from_ref(&**plugin).cast::<()>();
                std::ptr::eq(plugin, std::ptr::from_ref(self).cast::<()>())
            })
        };
        let chain = self.peers.chain();
        let place = chain.as_ref().and_then(|chain| here(chain));
        let runtime = tokio::runtime::Handle::try_current();
        let (Some(chain), Some(place), Ok(runtime)) = (chain, place, runtime) else {
            return Err(leader);
        };
        let Some(permit) = Permit::take(&self.background) else {
            return Err(leader);
        };
        let (mut copy, mut reply) = (Query::new(), Reply::new());
        copy.copy_of(query);
        reply.begin(&copy);
        copy.slot(self.query_state).leader = Some(leader);
        runtime.spawn(async move {
            let _permit = permit;
            chain.refresh(place, &mut copy, &mut reply).await;
        });
        Ok(())
    }
}

/// One of the questions that may go on in the background.
struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn take(count: &Arc<AtomicUsize>) -> Option<Self> {
        let permit = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < MAX_BACKGROUND).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
