//! The single entry of all queries: of every transport, bench, fuzz target and scenario.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chain::resolver::MAX_DEPTH;
use chain::{Batch, BoxFuture, Clock, Resolve};
use exchange::{Exchange, Outcome, Pending, Query};
use net::Handler;
use telemetry::metrics::{self, Counter};
use wire::{Class, Endpoint, Failure, Malformed, Opcode, Rcode, Rejection, Reply, Scheme};

use super::ahead;
use super::block;
use super::config::Config;
use super::envelope;
use super::panics;
use super::router::{Router, Target};
use super::signature;

/// A batch is prefetched as a whole up to this size, which is what `net` hands over at most.
const MAX_BATCH: usize = Batch::MOST;
/// Queries answered between two readings of the clock: durations stay right to a microsecond or two,
/// and a reading costs each of them next to nothing.
const CLOCK_EVERY: usize = 16;

/// The configuration being served, and what outlives every configuration.
pub(crate) struct Serving {
    /// Swapped by a reload; taken once per batch.
    pub(crate) config: ArcSwap<Config>,
    clock: Clock,
}

impl Serving {
    /// Serves nothing yet.
    pub(crate) fn new(config: Config, clock: Clock) -> Self {
        panics::install();
        Self { config: ArcSwap::from_pointee(config), clock }
    }

    /// Reads the message; what is not a query is answered or dropped here.
    #[inline]
    fn parse(router: &Router, exchange: &mut Exchange) -> bool {
        let Exchange { query, reply, outcome, .. } = exchange;
        *outcome = Outcome::Send;
        match query.parse() {
            Ok(()) => {
                reply.begin(query);
                true
            }
            Err(rejection) => reject(router, exchange, rejection),
        }
    }

    /// The block for the query, or the refusal in the reply.
    #[inline]
    fn admit<'a>(router: &'a Router, exchange: &mut Exchange, clock: Clock) -> Option<&'a Target> {
        let found = Self::gate(router, &mut exchange.query, clock);
        if exchange.query.tsig_at().is_some()
            && let Err(Malformed) = judge(router, &mut exchange.query, &found, clock)
        {
            refuse(router, exchange, Rcode::FORMERR);
            return None;
        }
        match found {
            Ok((target, label)) => {
                exchange.query.set_zone(label);
                exchange.query.state.key = target.key;
                Some(target)
            }
            Err(rcode) => {
                refuse(router, exchange, rcode);
                None
            }
        }
    }

    /// EDNS version, class and zone, in CoreDNS's order.
    #[inline]
    fn gate<'a>(
        router: &'a Router,
        query: &mut Query,
        clock: Clock,
    ) -> Result<(&'a Target, usize), Rcode> {
        if query.edns().is_some_and(|edns| edns.version != 0) {
            return Err(Rcode::BADVERS);
        }
        if query.qclass() != Class::IN && !router.all_classes {
            return Err(Rcode::REFUSED);
        }
        let found =
            if router.views { router.find_viewed(query, clock) } else { router.find(query) };
        let (target, label) = found.ok_or(Rcode::REFUSED)?;
        if target.empty {
            return Err(Rcode::REFUSED);
        }
        if router.updates && query.opcode() == Opcode::UPDATE && !target.chain.takes_updates() {
            return Err(Rcode::NOTIMP);
        }
        Ok((target, label))
    }

    /// Runs the chain for an admitted query as far as it goes at once.
    #[inline]
    fn run(router: &Router, target: &Target, exchange: &mut Exchange) {
        let Exchange { query, reply, outcome, .. } = exchange;
        if target.admission.is_some() && !router.views {
            target.collect_metadata(query);
        }
        let (block, chain) = (&target.block, &*target.chain);
        *outcome = match block.begin(chain, query, reply) {
            Some(place) => Outcome::Wait(Pending { driver: Arc::clone(block) as _, place }),
            None if block.conclude(chain, query, reply) => Outcome::Send,
            None => Outcome::Silent,
        };
    }
}

/// One listener's door to the server.
pub(crate) struct ListenerHandler {
    pub(crate) serving: Arc<Serving>,
    /// Index of its router in every configuration.
    pub(crate) number: u16,
    /// Counts responses over HTTP, where it speaks that.
    statuses: Option<Statuses>,
}

/// Counts responses over HTTP by their status.
struct Statuses([(u16, Counter); STATUSES.len()]);

/// All statuses of our responses.
const STATUSES: [u16; 9] = [200, 400, 404, 405, 408, 413, 414, 415, 500];

impl ListenerHandler {
    /// The door of the listener `number` on `endpoint`.
    pub(crate) fn new(serving: Arc<Serving>, number: u16, endpoint: Endpoint) -> Self {
        let counter = |status: u16| {
            let counter = metrics::counter(
                "coredns_dns_https_responses_total",
                "Counter of DoH responses per server and http status code.",
                &["server", "status"],
                &[&endpoint.to_string(), &status.to_string()],
            );
            (status, counter)
        };
        let is_https = endpoint.scheme == Scheme::Https;
        let statuses = is_https.then(|| Statuses(STATUSES.map(counter)));
        Self { serving, number, statuses }
    }
}

impl Handler for ListenerHandler {
    fn answered(&self, status: u16, worker: usize) {
        let all = self.statuses.iter().flat_map(|statuses| &statuses.0);
        if let Some((_, counter)) = all.into_iter().find(|(known, _)| *known == status) {
            counter.inc(worker);
        }
    }

    fn serve_batch(&self, exchanges: &mut [Box<Exchange>]) {
        let config = self.serving.config.load();
        let router = config.router(self.number);
        for part in exchanges.chunks_mut(MAX_BATCH) {
            let mut parsed = 0u64;
            for (at, exchange) in part.iter_mut().enumerate() {
                exchange.query.client.listener = self.number;
                exchange.query.client.now = exchange.query.client.received;
                parsed |= u64::from(Serving::parse(router, exchange)) << at;
            }
            if router.is_large() && part.len() > 1 {
                ahead::route(router, part, parsed);
            }
            let mut targets = [None; MAX_BATCH];
            for (at, exchange) in part.iter_mut().enumerate() {
                if parsed >> at & 1 == 1 {
                    targets[at] = Serving::admit(router, exchange, self.serving.clock);
                }
            }
            if part.len() > 1 {
                ahead::chains(part, &targets);
            }
            let mut now = None;
            for (at, (exchange, target)) in part.iter_mut().zip(&targets).enumerate() {
                let Some(target) = target else { continue };
                if at % CLOCK_EVERY == 0 {
                    now = Some((self.serving.clock.now)());
                }
                exchange.query.client.now = now.unwrap_or(exchange.query.client.received);
                Serving::run(router, target, exchange);
            }
        }
    }
}

impl Resolve for Serving {
    fn is_served(&self, query: &Query, name: &[u8]) -> bool {
        self.config.load().router(query.client.listener).serves(name)
    }

    fn resolve<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            reply.begin(query);
            if query.state.depth > MAX_DEPTH {
                reply.fail(Failure::servfail("too many nested lookups"));
                return;
            }
            let config = self.config.load_full();
            match Self::gate(config.router(query.client.listener), query, self.clock) {
                Ok((target, label)) => {
                    query.set_zone(label);
                    query.state.key = target.key;
                    let block = Arc::clone(&target.block);
                    if let Some(place) = block.begin(&target.chain, query, reply) {
                        block.rest(place, query, reply).await;
                    }
                }
                Err(rcode) => reply.fail(Failure::rcode(rcode)),
            }
        })
    }
}

/// Judges the signature of a query with the keys of the block that takes it, or would take it if it were not
/// refused: RFC 8945 section 5.3 has every response to a request with a good signature signed, whatever its
/// rcode. No block has no keys.
#[cold]
fn judge(
    router: &Router,
    query: &mut Query,
    found: &Result<(&Target, usize), Rcode>,
    clock: Clock,
) -> Result<(), Malformed> {
    let target = match found {
        Ok((target, _)) => Some(*target),
        Err(_) if router.views => router.find_viewed(query, clock).map(|(target, _)| target),
        Err(_) => router.find(query).map(|(target, _)| target),
    };
    signature::judge(query, target.and_then(|target| target.block.keys.as_deref()), clock)?;
    signature::accept(query);
    Ok(())
}

/// What becomes of bytes that are not a query; `true` if they are an UPDATE message that a block may take.
#[cold]
fn reject(router: &Router, exchange: &mut Exchange, rejection: Rejection) -> bool {
    let Exchange { query, reply, outcome, .. } = exchange;
    let rejection = match rejection {
        Rejection::Rcode(Rcode::NOTIMP) if router.updates && query.opcode() == Opcode::UPDATE => {
            match query.parse_update() {
                Ok(()) => {
                    reply.begin(query);
                    return true;
                }
                Err(rejection) => rejection,
            }
        }
        rejection => rejection,
    };
    match rejection {
        Rejection::Silence => *outcome = Outcome::Silent,
        Rejection::Rcode(rcode) => {
            envelope::settle_rejection(query, reply, rcode);
            if passes(router, query, reply) {
                envelope::seal_rejection(query, reply);
            } else {
                *outcome = Outcome::Silent;
            }
        }
    }
    false
}

/// Answers a query that no chain gets.
#[cold]
fn refuse(router: &Router, exchange: &mut Exchange, rcode: Rcode) {
    let Exchange { query, reply, outcome, .. } = exchange;
    // CoreDNS answers an unknown EDNS version before it counts anything.
    if rcode != Rcode::BADVERS
        && let Some(dropped) = &router.dropped
    {
        dropped.refused(query, rcode);
    }
    reply.fail(Failure::rcode(rcode));
    envelope::settle(query, reply);
    if passes(router, query, reply) {
        envelope::seal(query, reply);
    } else {
        *outcome = Outcome::Silent;
    }
}

/// Applies the listener's limits to a settled reply that no chain made; `false` if it is dropped.
fn passes(router: &Router, query: &Query, reply: &mut Reply) -> bool {
    router.limit.as_ref().is_none_or(|chain| block::limit(chain, query, reply))
}

#[cfg(test)]
mod tests;
