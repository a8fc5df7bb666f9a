//! The single entry of all queries: of every transport, bench, fuzz target and scenario.

use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chain::{Batch, BoxFuture, Chain, Place, Ran, Resolve};
use net::{Bound, Fate, Handler, Slot};
use telemetry::metrics::{self, Counter};
use wire::edns::ede;
use wire::{Class, Failure, Query, Rcode, Rejection, Reply};

use super::ahead;
use super::baseline;
use super::config::Config;
use super::finish;
use super::panics::{self, Catch, Panic};
use super::router::{Router, Target};

/// Background renewals under way at once; over it an entry is renewed by a later hit.
const MAX_REFRESHES: usize = 1_000;
/// Lookups of our own inside each other: CoreDNS's bound.
const MAX_DEPTH: u8 = 8;
/// A batch is prefetched as a whole up to this size, which is what `net` hands over at most.
const MAX_BATCH: usize = Batch::MOST;
/// Queries answered between two looks at the clock: durations stay right to a microsecond or two,
/// and the look costs each of them next to nothing.
const CLOCK_EVERY: usize = 16;

/// The configuration being served, and what outlives every configuration.
pub(crate) struct Serving {
    /// Swapped by a reload; taken once per batch.
    pub(crate) config: ArcSwap<Config>,
    clock: chain::Clock,
    counters: Arc<Counters>,
}

/// What the server counts itself.
struct Counters {
    panics: Counter,
    refused: Counter,
    refreshes_skipped: Counter,
    /// Background renewals in flight.
    refreshes: Arc<Bound>,
}

impl Serving {
    /// Serves nothing yet.
    pub(crate) fn new(config: Config, clock: chain::Clock) -> Self {
        panics::install();
        Self {
            config: ArcSwap::from_pointee(config),
            clock,
            counters: Arc::new(Counters {
                panics: baseline::panics(),
                refused: metrics::counter(
                    "catena_waiting_refused_total",
                    "Queries refused because too many queries were waiting.",
                    &[],
                    &[],
                ),
                refreshes_skipped: metrics::counter(
                    "catena_refreshes_skipped_total",
                    "Background refreshes skipped because too many were in flight.",
                    &[],
                    &[],
                ),
                refreshes: Arc::new(Bound::new(MAX_REFRESHES)),
            }),
        }
    }

    /// Reads the message; one that is no query gets the fate it deserves.
    #[inline]
    fn parse(slot: &mut Slot) -> bool {
        let (query, reply) = (&mut slot.query, &mut slot.reply);
        slot.fate = Fate::Send;
        match query.parse() {
            Ok(()) => {
                reply.begin(query);
                return true;
            }
            Err(Rejection::Silence) => slot.fate = Fate::Silent,
            Err(Rejection::Rcode(rcode)) => finish::reject(query, reply, rcode),
        }
        false
    }

    /// The block for the query, or the refusal in the reply.
    #[inline]
    fn admit<'a>(router: &'a Router, slot: &mut Slot) -> Option<&'a Target> {
        let (query, reply) = (&mut slot.query, &mut slot.reply);
        match Self::gate(router, query) {
            Ok((target, label)) => {
                query.set_zone(label);
                query.key = target.key;
                Some(target)
            }
            Err(rcode) => {
                refuse(router, query, reply, rcode);
                None
            }
        }
    }

    /// EDNS version, class and zone, in CoreDNS's order.
    #[inline]
    fn gate<'a>(router: &'a Router, query: &mut Query) -> Result<(&'a Target, usize), Rcode> {
        if query.edns().is_some_and(|edns| edns.version != 0) {
            return Err(Rcode::BADVERS);
        }
        if query.qclass() != Class::IN && !router.all_classes {
            return Err(Rcode::REFUSED);
        }
        let found = if router.views { router.find_viewed(query) } else { router.find(query) };
        let (target, label) = found.ok_or(Rcode::REFUSED)?;
        if target.empty {
            return Err(Rcode::REFUSED);
        }
        Ok((target, label))
    }

    /// Runs the chain for an admitted query as far as it goes at once.
    #[inline]
    fn run(&self, router: &Router, target: &Target, slot: &mut Slot) {
        let (query, reply) = (&mut slot.query, &mut slot.reply);
        if target.beforehand.is_some() && !router.views {
            target.collect_metadata(query);
        }
        match panics::catch(|| target.chain.run(query, reply)) {
            Ok(Ran::Done) => {}
            Ok(Ran::Refresh) => self.refresh(&target.chain, query, target.stacktrace),
            Ok(Ran::Wait(place)) => {
                let (chain, stacktrace) = (Arc::clone(&target.chain), target.stacktrace);
                *query.slot(WAITING) = Some(Waiting { chain, place, stacktrace });
                slot.fate = Fate::Wait;
                return;
            }
            Err(panic) => {
                self.panicked(&panic, target.stacktrace, query, reply);
                if target.debug {
                    telemetry::log::flush();
                    resume_unwind(panic.payload);
                }
            }
        }
        self.conclude(slot, Some(&target.chain), target.stacktrace);
    }

    /// The reply is as the chain left it: finish it, or keep silent.
    #[inline]
    fn conclude(&self, slot: &mut Slot, chain: Option<&Chain>, stacktrace: bool) {
        if slot.reply.is_silent() {
            slot.fate = Fate::Silent;
            return;
        }
        finish::finish(&slot.query, &mut slot.reply);
        slot.fate = Fate::Send;
        if let Some(chain) = chain
            && chain.sees_sent()
            && let Err(panic) = panics::catch(|| chain.sent(&slot.query, slot.reply.bytes()))
        {
            // The reply is complete, so the client gets it.
            self.counters.panics.inc(slot.query.worker);
            panic.tell(stacktrace);
        }
    }

    #[cold]
    fn panicked(&self, panic: &Panic, stacktrace: bool, query: &mut Query, reply: &mut Reply) {
        self.counters.panics.inc(query.worker);
        panic.tell(stacktrace);
        query.bring_back_to(0);
        reply.begin(query);
        reply.fail(Failure::rcode(Rcode::SERVFAIL));
    }

    /// Starts the renewal that a link of the chain asked for.
    fn refresh(&self, chain: &Arc<Chain>, query: &mut Query, stacktrace: bool) {
        let Some((at, mut copy)) = query.renewal.take() else { return };
        let Some(permit) = self.counters.refreshes.try_acquire_owned() else {
            self.counters.refreshes_skipped.inc(query.worker);
            return;
        };
        let (chain, counters) = (Arc::clone(chain), Arc::clone(&self.counters));
        tokio::spawn(async move {
            let (query, reply) = (&mut *copy, &mut *Box::new(Reply::new()));
            reply.begin(query);
            let worker = query.worker;
            let renewed = {
                let renewal = pin!(chain.refresh(at, query, reply));
                Catch(renewal).await
            };
            if let Err(panic) = renewed {
                counters.panics.inc(worker);
                panic.tell(stacktrace);
            }
            drop(permit);
        });
    }
}

/// Where a waiting query goes on.
struct Waiting {
    chain: Arc<Chain>,
    place: Place,
    stacktrace: bool,
}

/// The server's own slot in every query.
const WAITING: wire::Slot<Option<Waiting>> = wire::Slot::new(chain::setup::SERVER_SLOT);

/// One listener's door to the server.
pub(crate) struct Site {
    pub(crate) serving: Arc<Serving>,
    /// Index of its router in every configuration.
    pub(crate) number: u16,
}

impl Handler for Site {
    fn serve_batch(&self, slots: &mut [Box<Slot>]) {
        let config = self.serving.config.load();
        let router = config.router(self.number);
        for part in slots.chunks_mut(MAX_BATCH) {
            let mut parsed = 0u64;
            for (at, slot) in part.iter_mut().enumerate() {
                slot.query.site = self.number;
                slot.query.now = slot.query.received;
                parsed |= u64::from(Serving::parse(slot)) << at;
            }
            if router.is_large() && part.len() > 1 {
                ahead::route(router, part, parsed);
            }
            let mut targets = [None; MAX_BATCH];
            for (at, slot) in part.iter_mut().enumerate() {
                if parsed >> at & 1 == 1 {
                    targets[at] = Serving::admit(router, slot);
                }
            }
            if part.len() > 1 {
                ahead::chains(part, &targets);
            }
            let mut now = None;
            for (at, (slot, target)) in part.iter_mut().zip(&targets).enumerate() {
                let Some(target) = target else { continue };
                if at % CLOCK_EVERY == 0 {
                    now = Some((self.serving.clock.now)());
                }
                slot.query.now = now.unwrap_or(slot.query.received);
                self.serving.run(router, target, slot);
            }
        }
    }

    fn resume(&self, mut slot: Box<Slot>) -> BoxFuture<'static, Box<Slot>> {
        let serving = Arc::clone(&self.serving);
        Box::pin(async move {
            let waiting = slot.query.slot(WAITING).take();
            if let Some(Waiting { chain, place, stacktrace }) = waiting {
                let Slot { query, reply, .. } = &mut *slot;
                let resumed = {
                    let rest = pin!(Arc::clone(&chain).resume(place, query, reply));
                    Catch(rest).await
                };
                let Slot { query, reply, .. } = &mut *slot;
                match resumed {
                    Ok(Ran::Refresh) => serving.refresh(&chain, query, stacktrace),
                    Ok(Ran::Done | Ran::Wait(_)) => {}
                    Err(panic) => serving.panicked(&panic, stacktrace, query, reply),
                }
                serving.conclude(&mut slot, Some(&chain), stacktrace);
            } else {
                serving.conclude(&mut slot, None, false);
            }
            slot
        })
    }

    fn refuse(&self, slot: &mut Slot) {
        let (query, reply) = (&mut slot.query, &mut slot.reply);
        let waiting = query.slot(WAITING).take();
        self.serving.counters.refused.inc(query.worker);
        query.bring_back_to(0);
        reply.begin(query);
        // REFUSED and not SERVFAIL: resolvers keep SERVFAIL for a while, this may pass at once.
        reply.fail(
            Failure::rcode(Rcode::REFUSED).extended(ede::OTHER, "too many queries are waiting"),
        );
        let chain = waiting.as_ref().map(|waiting| &*waiting.chain);
        self.serving.conclude(slot, chain, false);
    }
}

impl Resolve for Serving {
    fn is_served(&self, query: &Query, name: &[u8]) -> bool {
        self.config.load().router(query.site).serves(name)
    }

    fn resolve<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            reply.begin(query);
            if query.depth > MAX_DEPTH {
                reply.fail(Failure::servfail("too many nested lookups"));
                return;
            }
            let config = self.config.load_full();
            match Self::gate(config.router(query.site), query) {
                Ok((target, label)) => {
                    query.set_zone(label);
                    query.key = target.key;
                    let chain = Arc::clone(&target.chain);
                    let stacktrace = target.stacktrace;
                    let mut ran = chain.run(query, reply);
                    if let Ran::Wait(place) = ran {
                        ran = Arc::clone(&chain).resume(place, query, reply).await;
                    }
                    if ran == Ran::Refresh {
                        self.refresh(&chain, query, stacktrace);
                    }
                }
                Err(rcode) => reply.fail(Failure::rcode(rcode)),
            }
        })
    }
}

/// A query that no chain gets.
#[cold]
fn refuse(router: &Router, query: &Query, reply: &mut Reply, rcode: Rcode) {
    // CoreDNS answers an unknown EDNS version before it counts anything.
    if rcode != Rcode::BADVERS
        && let Some(dropped) = &router.dropped
    {
        dropped.refused(query, rcode);
    }
    reply.fail(Failure::rcode(rcode));
    finish::finish(query, reply);
}

#[cfg(test)]
mod tests;
