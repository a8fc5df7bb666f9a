//! Asks other servers.
//!
//! Takes the queries under one zone, except those under others, and sends each to an upstream, to
//! another one if that fails, and the first reply that answers the question back. It never keeps
//! answers (`cache` does), never follows referrals, and never changes what an upstream said.

mod config;
mod exchange;
mod health;
mod message;
mod policy;
mod random;
mod secure;
mod setup;
mod taps;
mod target;
mod to;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chain::metrics::{self, Counter};
use chain::{BoxFuture, Chain, Kind, Next, ServeDns, Served, Step, ZoneSet, standing};
use corefile::Diagnostic;
use net::client::Network;
use tokio::time::Instant;
use wire::edns::ede;
use wire::{Failure, Query, Rcode, Reply, Section};

use config::Config;
use exchange::Trouble;
use message::Question;
use policy::{Policy, Walk};
use taps::Watchers;
use upstream::Upstream;

/// The plugin.
pub static PLUGIN: Kind = Kind {
    name: "forward",
    doc: include_str!("README.md"),
    once: false,
    answers: true,
    setup: setup::setup,
};

/// How long one query may take in all, unless a single upstream may take longer.
const BUDGET: Duration = Duration::from_secs(5);
/// Queries that wait for upstreams at once, in the whole process: each has a socket and a few
/// kilobytes.
const MAX_IN_FLIGHT: usize = 10_000;
/// Between attempts once every upstream had two: who refuses at once is not asked thousands of
/// times.
const PAUSE: Duration = Duration::from_millis(100);

/// Marks our own spans in a query that is traced; no place in a chain is that far.
const CONNECT: usize = usize::MAX;

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// One `forward` directive at work.
struct Forward {
    from: ZoneSet,
    except: ZoneSet,
    upstreams: Box<[Arc<Upstream>]>,
    policy: Policy,
    network: Arc<Network>,
    /// Whether the next plugin is a `forward` too.
    followed: bool,
    /// Under way here.
    concurrent: AtomicUsize,
    broken: Counter,
    rejected: Counter,
    overloaded: Counter,
    max_attempts: u32,
    budget: Duration,
    watchers: Watchers,
    config: Config,
}

impl Forward {
    fn new(
        config: Config,
        upstreams: Vec<Arc<Upstream>>,
        network: Arc<Network>,
        followed: bool,
        watchers: Watchers,
    ) -> Self {
        let count = u32::try_from(upstreams.len()).unwrap_or(u32::MAX);
        let max_attempts = match config.max_connect_attempts {
            None => count.saturating_mul(2),
            Some(0) => u32::MAX,
            Some(attempts) => attempts,
        };
        Self {
            from: ZoneSet::new([config.from.clone()]),
            except: config.except.clone(),
            upstreams: upstreams.into(),
            policy: Policy::new(config.policy),
            network,
            followed,
            concurrent: AtomicUsize::new(0),
            broken: standing::forward_broken(),
            rejected: standing::forward_rejects(),
            overloaded: metrics::counter(
                "catena_forward_overload_rejects_total",
                "Queries refused because the process could not wait for more of them.",
                &[],
                &[],
            ),
            max_attempts,
            // An operator who grants an upstream more than the budget means it.
            budget: BUDGET.max(config.read_timeout),
            watchers,
            config,
        }
    }

    /// Whether this query is to be forwarded. **FROM** itself always is.
    #[inline]
    fn matches(&self, query: &Query) -> bool {
        self.from.find(query).is_some_and(|(label, _)| {
            label == 0 || self.except.is_empty() || !self.except.contains(query)
        })
    }

    /// Takes a place among the queries under way.
    fn enter(&self, query: &Query) -> Result<(Place<'_>, Place<'static>), Failure> {
        let all = Place::take(&IN_FLIGHT, MAX_IN_FLIGHT).ok_or_else(|| {
            self.overloaded.inc(query.worker);
            overload("too many queries wait for upstreams".to_owned())
        })?;
        let most = match self.config.max_concurrent {
            0 => usize::MAX,
            most => most,
        };
        let here = Place::take(&self.concurrent, most).ok_or_else(|| {
            self.rejected.inc(query.worker);
            overload(format!("concurrent queries exceeded maximum {most}"))
        })?;
        Ok((here, all))
    }

    /// Asks until somebody answers.
    async fn ask_around(&self, query: &mut Query, reply: &mut Reply) -> Result<(), Failure> {
        let begun = Instant::now();
        let end = begun + self.budget;
        let mut question = Question::new(query, self.config.case_randomization)
            .map_err(|_| Failure::rcode(Rcode::FORMERR))?;
        let mut into = Vec::new();
        let mut walk = Walk::new(&self.upstreams, &self.policy, self.config.max_fails);
        let (mut attempts, mut failovers) = (0, 0);
        // A reply that `failover` does not want is better than none.
        let mut second_best = false;
        let mut trouble: Option<Trouble> = None;
        while attempts < self.max_attempts && Instant::now() < end {
            if attempts as usize >= 2 * self.upstreams.len() {
                tokio::time::sleep(PAUSE).await;
            }
            let was_down = walk.all_down;
            let found = walk.next();
            if walk.all_down && !was_down {
                self.broken.inc(query.worker);
                if self.config.failfast {
                    break;
                }
            }
            let Some(upstream) = found else { break };
            query.set_metadata("forward/upstream", || upstream.name.clone());
            if let Some(spans) = query.spans() {
                spans.begin(CONNECT, "connect", net::clock::now());
                spans.tag("peer.address", upstream.name.clone());
            }
            let mut taps = self.watchers.of(query);
            let exchanged =
                self.exchange(upstream, &mut question, &mut into, reply, end, &mut taps).await;
            if let Some(spans) = query.spans() {
                spans.end(CONNECT, net::clock::now());
            }
            match exchanged {
                Ok(()) => {
                    upstream.answered();
                    if !self.config.failover.contains(&reply.rcode()) {
                        return Ok(());
                    }
                    failovers += 1;
                    if failovers >= self.upstreams.len() {
                        return Ok(());
                    }
                    second_best = true;
                }
                Err(Trouble::Ours(error)) => {
                    // Not the upstream's fault, and asking more would make it worse.
                    self.overloaded.inc(query.worker);
                    trouble = Some(Trouble::Ours(error));
                    break;
                }
                Err(Trouble::Crowded) => {
                    // It may be well, and the next one idle.
                    upstream.numbers.crowded(query.worker);
                    attempts += 1;
                    trouble = Some(Trouble::Crowded);
                }
                Err(theirs) => {
                    upstream.failed(self.config.max_fails);
                    attempts += 1;
                    trouble = Some(theirs);
                }
            }
        }
        if second_best { Ok(()) } else { Err(exchange::failure(trouble)) }
    }

    /// Whether the following `forward` is to be asked instead of giving this reply.
    fn goes_on(&self, reply: &Reply) -> bool {
        let rcode = reply.rcode();
        let nodata = rcode == Rcode::NOERROR && reply.count(Section::Answer) == 0;
        self.followed && (self.config.next.contains(&rcode) || self.config.next_on_nodata && nodata)
    }
}

impl ServeDns for Forward {
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        Ok(if self.matches(query) { Step::Wait } else { Step::Next })
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            let places = self.enter(query)?;
            self.ask_around(query, reply).await?;
            drop(places);
            if self.goes_on(reply) {
                reply.clear();
                next.run(query, reply).await;
            }
            Ok(Step::Done)
        })
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        self.watchers.look(chain);
        Ok(())
    }
}

/// REFUSED and not SERVFAIL: resolvers keep SERVFAIL for a while, this may pass at once.
#[cold]
fn overload(cause: String) -> Failure {
    Failure { cause: Some(cause.into()), ..Failure::rcode(Rcode::REFUSED) }
        .extended(ede::OTHER, "too many queries wait for upstreams")
}

/// One of a bounded number of places; free again when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(places: &'a AtomicUsize, most: usize) -> Option<Self> {
        if places.fetch_add(1, Ordering::Relaxed) < most {
            return Some(Self(places));
        }
        places.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
