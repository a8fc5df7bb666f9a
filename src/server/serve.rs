//! The one entry: every transport, bench, fuzz target and scenario runs queries through here.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use chain::metrics::{self, Counter};
use chain::{Batch, BoxFuture, Chain, Ran, Resolve};
use net::{Fate, Handler, Slot};
use wire::edns::ede;
use wire::{Class, Failure, Query, Rcode, Rejection, Reply};

use super::config::Config;
use super::finish;
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
/// Chains of one batch that may prefetch.
const MAX_PREFETCHED: usize = 4;

/// The configuration being served, and what outlives every configuration.
pub(crate) struct Serving {
    /// Swapped by a reload; taken once per batch.
    pub(crate) config: ArcSwap<Config>,
    clock: chain::Clock,
    pub(crate) counters: Counters,
    refreshes: AtomicUsize,
}

/// What the server counts itself.
pub(crate) struct Counters {
    panics: Counter,
    refused: Counter,
    refreshes_skipped: Counter,
}

impl Serving {
    /// Serves nothing yet.
    pub(crate) fn new(config: Config, clock: chain::Clock) -> Self {
        Self {
            config: ArcSwap::from_pointee(config),
            clock,
            counters: Counters {
                panics: metrics::counter(
                    "coredns_panics_total",
                    "A metrics that counts the number of panics.",
                    &[],
                    &[],
                ),
                refused: metrics::counter(
                    "catena_waiting_refused_total",
                    "Queries refused because too many were waiting.",
                    &[],
                    &[],
                ),
                refreshes_skipped: metrics::counter(
                    "catena_refreshes_skipped_total",
                    "Background renewals left out because too many were under way.",
                    &[],
                    &[],
                ),
            },
            refreshes: AtomicUsize::new(0),
        }
    }

    /// What came of the message: its route, or the fate it already has.
    #[inline]
    fn admit<'a>(&self, router: &'a Router, slot: &mut Slot) -> Option<&'a Target> {
        let (query, reply) = (&mut slot.query, &mut slot.reply);
        slot.fate = Fate::Send;
        if let Err(rejection) = query.parse() {
            match rejection {
                Rejection::Silence => slot.fate = Fate::Silent,
                Rejection::Rcode(rcode) => finish::reject(query, reply, rcode),
            }
            return None;
        }
        reply.begin(query);
        let rcode = match Self::gate(router, query) {
            Ok((target, label)) => {
                query.set_zone(label);
                query.key = target.key;
                return Some(target);
            }
            Err(rcode) => rcode,
        };
        refuse(router, query, reply, rcode);
        None
    }

    /// EDNS version, class and zone, in CoreDNS's order.
    #[inline]
    fn gate<'a>(router: &'a Router, query: &Query) -> Result<(&'a Target, usize), Rcode> {
        if query.edns().is_some_and(|edns| edns.version != 0) {
            return Err(Rcode::BADVERS);
        }
        if query.qclass() != Class::IN && !router.all_classes {
            return Err(Rcode::REFUSED);
        }
        let (target, label) = router.find(query).ok_or(Rcode::REFUSED)?;
        // A block without plugins knows its zone and answers nothing in it.
        if target.chain.links().is_empty() {
            return Err(Rcode::REFUSED);
        }
        Ok((target, label))
    }

    /// Runs the chain for an admitted query as far as it goes at once.
    #[inline]
    fn run(self: &Arc<Self>, target: &Target, slot: &mut Slot) {
        let (query, reply) = (&mut slot.query, &mut slot.reply);
        if let Some(zones) = &target.metadata {
            collect_metadata(target, zones, query);
        }
        let ran = catch_unwind(AssertUnwindSafe(|| target.chain.run(query, reply)));
        match ran {
            Ok(Ran::Done) => {}
            Ok(Ran::Refresh(at)) => self.refresh(target, at, query),
            Ok(Ran::Wait(at)) => {
                *query.slot(WAITING) = Some(Waiting { chain: Arc::clone(&target.chain), at });
                slot.fate = Fate::Wait;
                return;
            }
            Err(panic) => self.panicked(target.debug, panic, query, reply),
        }
        conclude(slot);
    }

    #[cold]
    fn panicked(
        &self,
        debug: bool,
        panic: Box<dyn std::any::Any + Send>,
        query: &mut Query,
        reply: &mut Reply,
    ) {
        self.counters.panics.inc(query.worker);
        let text = panic_text(&*panic);
        chain::error!("Recovered from panic in server: {text}");
        if debug {
            chain::log::flush();
            resume_unwind(panic);
        }
        reply.begin(query);
        reply.fail(Failure::rcode(Rcode::SERVFAIL));
    }

    /// Starts the renewal of what link `at` answered.
    fn refresh(self: &Arc<Self>, target: &Target, at: usize, query: &Query) {
        if self.refreshes.fetch_add(1, Ordering::Relaxed) >= MAX_REFRESHES {
            self.refreshes.fetch_sub(1, Ordering::Relaxed);
            self.counters.refreshes_skipped.inc(query.worker);
            return;
        }
        let mut copy = Box::new((Query::new(), Reply::new()));
        copy.0.copy_of(query);
        let chain = Arc::clone(&target.chain);
        let serving = Arc::clone(self);
        tokio::spawn(async move {
            let _running = Running(&serving.refreshes);
            let (query, reply) = &mut *copy;
            reply.begin(query);
            let worker = query.worker;
            if CatchUnwind(Box::pin(chain.refresh(at, query, reply))).await.is_err() {
                serving.counters.panics.inc(worker);
            }
        });
    }
}

/// Counts a background task while it lives.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a waiting query goes on.
struct Waiting {
    chain: Arc<Chain>,
    at: usize,
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
            let mut targets = [None; MAX_BATCH];
            for (slot, target) in part.iter_mut().zip(&mut targets) {
                slot.query.site = self.number;
                slot.query.now = slot.query.received;
                *target = self.serving.admit(router, slot);
            }
            if part.len() > 1 {
                prefetch(part, &targets);
            }
            let mut now = None;
            for (at, (slot, target)) in part.iter_mut().zip(&targets).enumerate() {
                let Some(target) = target else { continue };
                if at % CLOCK_EVERY == 0 {
                    now = Some((self.serving.clock.now)());
                }
                slot.query.now = now.unwrap_or(slot.query.received);
                self.serving.run(target, slot);
            }
        }
    }

    fn resume(&self, mut slot: Box<Slot>) -> BoxFuture<'static, Box<Slot>> {
        let serving = Arc::clone(&self.serving);
        Box::pin(async move {
            if let Some(Waiting { chain, at }) = slot.query.slot(WAITING).take() {
                let Slot { query, reply, .. } = &mut *slot;
                let resumed = CatchUnwind(Box::pin(chain.resume(at, query, reply))).await;
                if let Err(panic) = resumed {
                    let Slot { query, reply, .. } = &mut *slot;
                    serving.panicked(false, panic, query, reply);
                }
            }
            conclude(&mut slot);
            slot
        })
    }

    fn refuse(&self, slot: &mut Slot) {
        let (query, reply) = (&mut slot.query, &mut slot.reply);
        drop(query.slot(WAITING).take());
        self.serving.counters.refused.inc(query.worker);
        reply.clear();
        // REFUSED and not SERVFAIL: resolvers keep SERVFAIL for a while, this may pass at once.
        reply.fail(
            Failure::rcode(Rcode::REFUSED).extended(ede::OTHER, "too many queries are waiting"),
        );
        conclude(slot);
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
                reply.fail(Failure::servfail("too many lookups inside each other"));
                return;
            }
            let config = self.config.load_full();
            match Self::gate(config.router(query.site), query) {
                Ok((target, label)) => {
                    query.set_zone(label);
                    query.key = target.key;
                    let chain = Arc::clone(&target.chain);
                    if let Ran::Wait(at) = chain.run(query, reply) {
                        chain.resume(at, query, reply).await;
                    }
                }
                Err(rcode) => reply.fail(Failure::rcode(rcode)),
            }
        })
    }
}

/// Lets the chains of the batch start to fetch what they will read. A batch that is spread over
/// many chains has little to gain: the first few get their hint.
fn prefetch(slots: &[Box<Slot>], targets: &[Option<&Target>; MAX_BATCH]) {
    let mut chains = 0;
    for (at, target) in targets.iter().enumerate() {
        let Some(target) = target.filter(|target| target.chain.prefetches()) else { continue };
        let same = |other: &Option<&Target>| {
            other.is_some_and(|other| Arc::ptr_eq(&other.chain, &target.chain))
        };
        // Each chain once, at its first query.
        if targets[..at].iter().any(same) {
            continue;
        }
        let queries = slots.iter().zip(targets).skip(at).filter(|(_, other)| same(other));
        target.chain.prefetch(&Batch::new(queries.map(|(slot, _)| &slot.query)));
        chains += 1;
        if chains == MAX_PREFETCHED {
            return;
        }
    }
}

/// The reply is as the chain left it: finish it, or keep silent.
#[inline]
fn conclude(slot: &mut Slot) {
    if slot.reply.is_silent() {
        slot.fate = Fate::Silent;
    } else {
        finish::finish(&slot.query, &mut slot.reply);
        slot.fate = Fate::Send;
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

#[cold]
fn collect_metadata(target: &Target, zones: &chain::ZoneSet, query: &mut Query) {
    if !zones.contains(query) {
        return;
    }
    query.collect_metadata();
    for link in target.chain.links() {
        if let Some(source) = link.plugin.roles().metadata {
            source.collect(query);
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown cause")
}

/// A future whose panic is its error.
struct CatchUnwind<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchUnwind<F> {
    type Output = Result<F::Output, Box<dyn std::any::Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.0.as_mut();
        match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
