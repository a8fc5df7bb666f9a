//! A server block as exchanges meet it: its chain, and how an exchange with it ends.
//!
//! All queries take this road: those a transport hands over, those that waited, and lookups of our own.

use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;

use chain::{BlockKeys, BoxFuture, Chain, Verdict};
use exchange::{Complete, Drive, Exchange, Outcome, Outlet, Place, Query, Renewal};
use net::Bound;
use telemetry::metrics::{self, Counter};
use wire::edns::ede;
use wire::{Failure, Rcode, Reply};

use super::panics::{self, Catch, Panic};
use super::{baseline, envelope};

/// Background renewals in flight at once; beyond that an entry is renewed by a later hit.
const MAX_REFRESHES: usize = 1_000;

/// A server block.
pub(crate) struct Block {
    pub(crate) chain: Arc<Chain>,
    pub(crate) counts: Arc<Counts>,
    /// The keys of signed queries.
    pub(crate) keys: Option<Arc<BlockKeys>>,
    /// Panics end the process instead of the query (`debug`).
    pub(crate) debug: bool,
    /// Log the stack of a panic.
    pub(crate) stacktrace: bool,
}

/// What the server counts itself.
pub(crate) struct Counts {
    pub(crate) panics: Counter,
    refused: Counter,
    refreshes_skipped: Counter,
    /// Background renewals in flight.
    pub(crate) refreshes: Arc<Bound>,
}

impl Counts {
    /// The counters, registered with the process's metrics.
    pub(crate) fn new() -> Self {
        Self {
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
        }
    }
}

impl Block {
    /// A block with this chain and no settings of its own.
    pub(crate) fn new(chain: Arc<Chain>, counts: Arc<Counts>) -> Self {
        Self { chain, counts, keys: None, debug: false, stacktrace: false }
    }

    /// Runs the query as far as it goes at once: the place where it must wait, or `None`. The chain is the
    /// block's: the caller has it at hand, and most queries read no more of the block.
    #[inline]
    pub(crate) fn begin(
        self: &Arc<Self>,
        chain: &Chain,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Option<Place> {
        match panics::catch(|| chain.run(query, reply)) {
            Ok(None) => {
                self.start_renewal(query);
                None
            }
            Ok(place) => place,
            Err(panic) => {
                self.panicked(panic, query, reply);
                None
            }
        }
    }

    /// Runs the rest of the way, from where the query had to wait.
    pub(crate) async fn rest(self: &Arc<Self>, place: Place, query: &mut Query, reply: &mut Reply) {
        let ended = {
            let rest = pin!(self.chain.resume(place, query, reply));
            Catch(rest).await
        };
        match ended {
            Ok(()) => self.start_renewal(query),
            Err(panic) => self.panicked(panic, query, reply),
        }
    }

    /// Completes the reply as the chain left it; `false` if the client gets nothing. Works on the chain
    /// for the same reason as [`Block::begin`].
    #[inline]
    pub(crate) fn conclude(&self, chain: &Chain, query: &mut Query, reply: &mut Reply) -> bool {
        if reply.is_silent() {
            return false;
        }
        envelope::settle(query, reply);
        if chain.watches_sent() {
            return self.conclude_watched(query, reply);
        }
        envelope::seal(query, reply);
        true
    }

    /// The same where plugins limit replies, or see them as they are sent.
    #[cold]
    fn conclude_watched(&self, query: &mut Query, reply: &mut Reply) -> bool {
        // A plugin that panics here changes nothing: the reply is settled, so the client gets it.
        let passes = panics::catch(|| limit(&self.chain, query, reply));
        if !self.unless_panicked(passes, query).unwrap_or(true) {
            return false;
        }
        envelope::seal(query, reply);
        let seen = panics::catch(|| self.chain.sent(query, reply.bytes()));
        self.unless_panicked(seen, query);
        true
    }

    /// The outcome, or nothing after a panic, which is counted and logged.
    fn unless_panicked<T>(&self, outcome: Result<T, Panic>, query: &Query) -> Option<T> {
        outcome
            .map_err(|panic| {
                self.counts.panics.inc(query.client.worker);
                panic.tell(self.stacktrace);
            })
            .ok()
    }

    #[cold]
    fn panicked(&self, panic: Panic, query: &mut Query, reply: &mut Reply) {
        self.counts.panics.inc(query.client.worker);
        panic.tell(self.stacktrace);
        if self.debug {
            telemetry::log::flush();
            resume_unwind(panic.payload);
        }
        query.pop_originals_to(0);
        reply.begin(query);
        reply.fail(Failure::rcode(Rcode::SERVFAIL));
    }

    /// Starts the renewal that a link of the chain requested, if any.
    #[inline]
    fn start_renewal(self: &Arc<Self>, query: &mut Query) {
        if let Some(renewal) = query.state.renewal.take() {
            self.renew(renewal);
        }
    }

    #[cold]
    fn renew(self: &Arc<Self>, Renewal { link, mut query }: Renewal) {
        let Some(permit) = self.counts.refreshes.try_acquire_owned() else {
            self.counts.refreshes_skipped.inc(query.client.worker);
            return;
        };
        let block = Arc::clone(self);
        tokio::spawn(async move {
            let reply = &mut *Box::new(Reply::new());
            reply.begin(&query);
            let worker = query.client.worker;
            let renewed = {
                let renewal = pin!(block.chain.refresh(link, &mut query, reply));
                Catch(renewal).await
            };
            if let Err(panic) = renewed {
                block.counts.panics.inc(worker);
                panic.tell(block.stacktrace);
            }
            drop(permit);
        });
    }
}

impl Drive for Block {
    fn resume(
        self: Arc<Self>,
        place: Place,
        mut exchange: Box<Exchange>,
    ) -> BoxFuture<'static, Box<Exchange>> {
        Box::pin(async move {
            let Exchange { query, reply, channel, .. } = &mut *exchange;
            if let Some(channel) = channel.take() {
                let driver = Arc::clone(&self) as Arc<dyn Complete>;
                query.open_outlet(Outlet { channel, driver });
            }
            self.rest(place, query, reply).await;
            query.close_outlet();
            let sent = self.conclude(&self.chain, query, reply);
            exchange.outcome = if sent { Outcome::Send } else { Outcome::Silent };
            exchange
        })
    }

    fn refuse(&self, exchange: &mut Exchange) {
        let Exchange { query, reply, .. } = exchange;
        self.counts.refused.inc(query.client.worker);
        query.pop_originals_to(0);
        reply.begin(query);
        // REFUSED and not SERVFAIL: resolvers cache SERVFAIL for a while, and this may pass at once.
        reply.fail(
            Failure::rcode(Rcode::REFUSED).extended(ede::OTHER, "too many queries are waiting"),
        );
        let sent = self.conclude(&self.chain, query, reply);
        exchange.outcome = if sent { Outcome::Send } else { Outcome::Silent };
    }
}

impl Complete for Block {
    fn complete(&self, query: &mut Query, reply: &mut Reply) -> bool {
        self.conclude(&self.chain, query, reply)
    }
}

/// Applies the limits of a chain to a settled reply; `false` if it is dropped.
pub(crate) fn limit(chain: &Chain, query: &Query, reply: &mut Reply) -> bool {
    match chain.limit(query, reply) {
        Verdict::Send => true,
        Verdict::Drop => false,
        Verdict::Slip => {
            if query.client.transport.is_datagram() {
                envelope::slip(reply);
            }
            true
        }
    }
}
