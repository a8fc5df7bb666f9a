//! Asks other servers, for the plugins that do: `forward` and those like it.
//!
//! A [`Group`] sends a query to one of its upstreams, to another one if that fails, and takes the
//! first reply that answers the question. Which queries those are, and what becomes of the reply, is
//! the plugin's business: this never keeps answers (`cache` does), never follows referrals, and never
//! changes what an upstream said.
//!
//! It must never know: any plugin, zones, which queries are asked here.

mod config;
mod exchange;
mod grpc;
mod health;
mod message;
mod policy;
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
use chain::{Chain, standing};
use net::client::Network;
use tokio::time::Instant;
use wire::edns::ede;
use wire::{Failure, Query, Rcode, Reply};

pub use config::{Config, Own, rcode, some};
use exchange::Trouble;
pub use grpc::{GrpcConfig, GrpcGroup};
use message::Question;
use policy::{Policy, Walk};
use taps::Watchers;
use upstream::Upstream;

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

/// Upstreams of which each can answer what is asked.
pub struct Group {
    upstreams: Box<[Arc<Upstream>]>,
    policy: Policy,
    network: Arc<Network>,
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

impl Group {
    fn new(
        config: Config,
        upstreams: Vec<Arc<Upstream>>,
        network: Arc<Network>,
        watchers: Watchers,
    ) -> Self {
        let count = u32::try_from(upstreams.len()).unwrap_or(u32::MAX);
        let max_attempts = match config.max_connect_attempts {
            None => count.saturating_mul(2),
            Some(0) => u32::MAX,
            Some(attempts) => attempts,
        };
        Self {
            upstreams: upstreams.into(),
            policy: Policy::new(config.policy),
            network,
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

    /// Asks until somebody answers; the reply is loaded into `reply`.
    ///
    /// # Errors
    /// Nobody answered, or too many queries wait already.
    pub async fn ask(&self, query: &mut Query, reply: &mut Reply) -> Result<(), Failure> {
        let _places = self.enter(query)?;
        self.ask_around(query, reply).await
    }

    /// Looks who in the complete chain records what goes to upstreams.
    pub fn complete(&self, chain: &Chain) {
        self.watchers.look(chain);
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
                Box::pin(tokio::time::sleep(PAUSE)).await;
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
                Err(theirs) => {
                    upstream.failed(self.config.max_fails);
                    attempts += 1;
                    trouble = Some(theirs);
                }
            }
        }
        if second_best { Ok(()) } else { Err(exchange::failure(trouble)) }
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
