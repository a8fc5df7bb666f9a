//! The slow road: asking the rest of the chain, for one or for many, and keeping what it says.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chain::{Failure, Next, Query, Reply, Served, Step, in_step};
use tokio::time::{Instant, timeout_at};
use wire::edns::ede;
use wire::{Rcode, Rtype, Transport};

use super::Cache;
use super::classify::{self, Kind};
use super::config::{Half, Stale};
use super::entry::{Content, Entry, Extras, Facts, Key};
use super::flight::{Leader, Member, Turn};
use super::store::Found;
use super::subnet;

/// Verifications that go on after their client was answered.
const MAX_BACKGROUND: usize = 1000;

/// What a question came to, for all who wait for it.
#[derive(Clone)]
pub(super) enum Outcome {
    /// An answer, kept or not. `renews`: it may take the place of a stale one.
    Answer { entry: Arc<Entry>, renews: bool },
    /// No answer, and why.
    Failed { rcode: Rcode, extended: Option<(u16, Cow<'static, str>)>, cause: Option<Arc<str>> },
    /// Nothing is to be said.
    Silence,
    /// Good for the one who asked only.
    Private,
}

/// What goes with a query from one step to the next.
#[derive(Default)]
pub(super) struct Handed {
    /// `on_query` found nothing, and the store's [`news`](super::store::Store::news) was this before it looked.
    pub(super) nothing_since: Option<u32>,
    /// Leadership, handed to the copy of a query that goes on in the background.
    leader: Option<Leader<Outcome>>,
}

/// Why the chain is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Nothing is known.
    Miss,
    /// What is known expires soon.
    Prefetch,
    /// What is known is past its time: only what is better replaces it.
    Renew,
}

impl Cache {
    /// After [`Step::Wait`]: nothing is known, or only stale data that wants verification.
    pub(super) async fn wait(
        &self,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
    ) -> Served {
        let mut nothing_since = query.slot(self.handed).nothing_since.take();
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
            if query.depth > 0 || query.qtype() == Rtype::HINFO {
                self.ask(query, reply, next, Purpose::Miss, || false).await;
                return Ok(Step::Done);
            }
            let Some(member) = self.flights.join(query) else {
                self.counts(query).refused.inc(query.worker);
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
                    query.now = (self.clock.now)();
                }
                Turn::Outcome(outcome) => {
                    self.counts(query).coalesced.inc(query.worker);
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
            Outcome::Failed { rcode, extended, cause } => {
                let cause = cause.map(|cause| cause.to_string().into());
                Err(Failure { rcode, extended, cause })
            }
            Outcome::Silence | Outcome::Private => Ok(Step::Drop),
        }
    }

    /// Asks whether stale data can be renewed before it is used (`serve_stale … verify`).
    async fn verify(
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
            && !self.flights.is_under_way(query);
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
            self.tell_stale(entry, stale, query, reply);
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
                Turn::Outcome(outcome) => return self.take_renewal(&outcome, query, reply),
            }
        };
        let awaited = || leader.as_ref().is_some_and(Leader::is_awaited);
        let (outcome, renews) = self.ask(query, reply, next, Purpose::Renew, awaited).await;
        entry.end_renewal(query.now, if renews { Duration::ZERO } else { stale.recheck });
        if let Some(leader) = leader {
            leader.tell(outcome);
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
            Turn::Outcome(outcome) => return self.take_renewal(&outcome, query, reply),
        };
        let follower = leader.follower();
        match self.in_background(leader, query) {
            Ok(()) => match timeout_at(until, follower.turn()).await {
                Ok(Turn::Outcome(outcome)) => self.take_renewal(&outcome, query, reply),
                _ => false,
            },
            Err(leader) => {
                drop(follower);
                let awaited = || leader.is_awaited();
                let (outcome, renews) = self.ask(query, reply, next, Purpose::Renew, awaited).await;
                entry.end_renewal(query.now, if renews { Duration::ZERO } else { stale.recheck });
                leader.tell(outcome);
                renews
            }
        }
    }

    fn take_renewal(&self, outcome: &Outcome, query: &mut Query, reply: &mut Reply) -> bool {
        let Outcome::Answer { entry, renews: true } = outcome else {
            return false;
        };
        if !entry.is_for(query) {
            return false;
        }
        self.counts(query).coalesced.inc(query.worker);
        reply.clear();
        entry.write(entry.lifetime(), query, reply);
        self.tell_scope(entry.subnet(), query, reply);
        true
    }

    /// Lets a copy of the query lead, whether or not this one stays.
    fn in_background(&self, leader: Leader<Outcome>, query: &Query) -> Result<(), Leader<Outcome>> {
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
        copy.slot(self.handed).leader = Some(leader);
        runtime.spawn(async move {
            let _permit = permit;
            chain.refresh(place, &mut copy, &mut reply).await;
        });
        Ok(())
    }

    /// In the background: renews what was answered from the cache a moment ago.
    pub(super) async fn renew(&self, query: &mut Query, reply: &mut Reply, next: Next<'_>) {
        let handed = query.slot(self.handed).leader.take();
        let verifies = handed.is_some();
        // If somebody asks already, their answer renews the entry.
        let leader = handed.or_else(|| self.flights.join(query).and_then(Member::lead));
        let Some(leader) = leader else { return };
        let old = self.entry_to_renew(query);
        let stale = self
            .config
            .stale
            .filter(|_| old.as_ref().is_some_and(|entry| entry.ttl(query.now) <= 0));
        if !verifies {
            self.counts(query).prefetches.inc(query.worker);
        }
        let purpose = if stale.is_some() { Purpose::Renew } else { Purpose::Prefetch };
        let (outcome, renews) = self.ask(query, reply, next, purpose, || leader.is_awaited()).await;
        if let Some(old) = old {
            if let Some(new) = self.store.any(&old.key()).filter(|_| renews) {
                new.inherit_hits(&old);
            }
            let failed = stale.filter(|_| !renews);
            old.end_renewal(query.now, failed.map_or(Duration::ZERO, |stale| stale.recheck));
        }
        leader.tell(outcome);
    }

    /// The entry that a client was answered with.
    fn entry_to_renew(&self, query: &Query) -> Option<Arc<Entry>> {
        match self.find(query) {
            Found::Fresh(_, entry) | Found::Stale(_, entry) => Some(entry),
            Found::Nothing => self.store.any(&Key::of(query)),
        }
    }

    /// Asks the rest of the chain and keeps what it says; whether that renews stale data.
    async fn ask(
        &self,
        query: &mut Query,
        reply: &mut Reply,
        next: Next<'_>,
        purpose: Purpose,
        awaited: impl Fn() -> bool,
    ) -> (Outcome, bool) {
        // Upstreams tell AD to who asks for it (RFC 6840 section 5.7): the cache always does, and
        // passes it on to clients that did, too.
        let authentic = query.authentic_data();
        set_authentic(query, true);
        next.run(query, reply).await;
        self.store.prepare(&Key::of(query));
        in_step().await;
        if purpose != Purpose::Miss && reply.truncated && query.transport.is_datagram() {
            // Nobody is there to ask again over a stream.
            let transport = std::mem::replace(&mut query.transport, Transport::Tcp);
            reply.clear();
            next.run(query, reply).await;
            query.transport = transport;
        }
        set_authentic(query, authentic);
        self.take_in(query, reply, purpose, awaited)
    }

    /// Judges a reply, gives it its TTLs, keeps it if it may be kept.
    fn take_in(
        &self,
        query: &mut Query,
        reply: &mut Reply,
        purpose: Purpose,
        awaited: impl Fn() -> bool,
    ) -> (Outcome, bool) {
        if reply.is_silent() {
            return (Outcome::Silence, false);
        }
        if reply.failure().is_some() {
            return (self.take_failure(query, reply, purpose), false);
        }
        if !reply.is_written() {
            return (Outcome::Private, false);
        }
        let clock = self.clock;
        let now = query.now;
        let Ok(verdict) = classify::judge(query, reply, || (clock.unix)(now), &self.config) else {
            self.counts(query).drops.inc(query.worker);
            return (Outcome::Private, false);
        };
        if verdict.uncompressed {
            // The first client's case must not reach the others: names become pointers to the
            // question, which is each client's own.
            reply.rearrange(|_, _| {});
        }
        reply.edit_ttls(|_, _| verdict.ttl);
        // Another server's OPT record told us of an upstream; what a plugin of ours wrote has none.
        let foreign = reply.foreign;
        let subnet = subnet::meant_for(query, reply);
        reply.opt.retain(|_| false);
        reply.opt.own = false;
        let facts = Facts {
            rcode: reply.rcode(),
            // RFC 1034 section 6.2.1: cached data is not authoritative; our own data is.
            authoritative: reply.authoritative() && !foreign,
            recursion_available: reply.recursion_available,
            authentic_data: reply.authentic_data,
            truncated: reply.truncated,
            answering: verdict.answering,
            failure: false,
            for_all: subnet.is_none() && subnet::source(query).is_some(),
        };
        let renews = self.renews(verdict.kind, &facts);
        let keep = purpose != Purpose::Renew || renews || self.config.prefer_positive;
        let half = verdict.half.filter(|_| keep);
        let key = half.and_then(|_| self.key_for(query, subnet));
        let half = half.filter(|_| key.is_some());
        let key = key.unwrap_or_else(|| Key::of(query));
        let mut outcome = Outcome::Private;
        if half.is_some() || awaited() {
            let extras = Extras { subnet, ..self.extras(half, verdict.answering, &key, query) };
            let space = half.map(|half| self.store.half(half));
            let content = Content::of(reply, verdict.ttl, facts, extras);
            if let Some(entry) = Entry::new(&key, space, query.now, content) {
                if let Some(half) = half {
                    self.keep(half, &key, &entry, query);
                }
                outcome = Outcome::Answer { entry, renews };
            }
        }
        self.tell_scope(subnet, query, reply);
        reply.authentic_data &= query.wants_dnssec() || query.authentic_data();
        (outcome, renews)
    }

    /// Whether a reply may take the place of stale data (RFC 8767 section 4: NOERROR and NXDOMAIN).
    fn renews(&self, kind: Kind, facts: &Facts) -> bool {
        if facts.truncated {
            return false;
        }
        if self.config.prefer_positive {
            return kind == Kind::Answer && facts.answering;
        }
        kind != Kind::Other && matches!(facts.rcode, Rcode::NOERROR | Rcode::NXDOMAIN)
    }

    fn extras(&self, half: Option<Half>, answering: bool, key: &Key<'_>, query: &Query) -> Extras {
        let keeps_last = self.config.prefer_positive && half == Some(Half::Success) && !answering;
        Extras {
            wildcard: query.metadata("zone/wildcard").map(Into::into).filter(|_| half.is_some()),
            last_good: if keeps_last { self.store.last_good(key) } else { None },
            subnet: None,
        }
    }

    fn keep(&self, half: Half, key: &Key<'_>, entry: &Arc<Entry>, query: &Query) {
        let evicted = self.store.keep(half, key, entry, &self.config);
        self.counts(query).evicted(half, query, evicted.own + evicted.any);
    }

    /// A failure of the chain itself. That no upstream could be reached is remembered: "a resolver
    /// MUST implement a cache for resolution failures" (RFC 9520 section 3.2).
    fn take_failure(&self, query: &Query, reply: &Reply, purpose: Purpose) -> Outcome {
        let Some(failure) = reply.failure() else {
            return Outcome::Private;
        };
        let unresolved = failure.rcode == Rcode::SERVFAIL
            && failure.extended.as_ref().is_some_and(|(code, _)| {
                matches!(*code, ede::NO_REACHABLE_AUTHORITY | ede::NETWORK_ERROR)
            });
        let keeps = unresolved
            && purpose == Purpose::Miss
            && self.config.servfail > 0
            && !self.config.denial.disabled.contains(query);
        if keeps {
            let facts = Facts { rcode: Rcode::SERVFAIL, failure: true, ..Facts::default() };
            let (key, space) = (Key::of(query), Some(self.store.half(Half::Denial)));
            let content = Content::empty(self.config.servfail, Facts { for_all: true, ..facts });
            if let Some(entry) = Entry::new(&key, space, query.now, content) {
                self.keep(Half::Denial, &key, &entry, query);
            }
        }
        Outcome::Failed {
            rcode: failure.rcode,
            extended: failure.extended.clone(),
            cause: failure.cause.as_ref().map(|cause| cause.to_string().into()),
        }
    }
}

impl Outcome {
    /// Whether it is for this client, too.
    fn is_for(&self, query: &Query) -> bool {
        match self {
            Self::Answer { entry, .. } => entry.is_for(query),
            Self::Failed { .. } | Self::Silence => true,
            Self::Private => false,
        }
    }
}

/// A failure that was remembered; it is not logged again.
#[cold]
pub(super) fn cached_failure() -> Failure {
    Failure::rcode(Rcode::SERVFAIL)
        .extended(ede::CACHED_ERROR, "a recent attempt to resolve this query failed")
}

/// Sets AD in the query as an upstream will see it.
fn set_authentic(query: &mut Query, yes: bool) {
    if let Some(flags) = query.buffer_mut().get_mut(3) {
        *flags = if yes { *flags | 0x20 } else { *flags & !0x20 };
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
