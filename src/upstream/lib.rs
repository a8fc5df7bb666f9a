//! Asks other servers, for the plugins that do: `forward` and those like it.
//!
//! A [`Group`] sends a query to one of its upstreams, to another one if that fails, and takes the
//! first reply that answers the question. Which queries those are, and what becomes of the reply, is
//! the plugin's business: this never keeps answers (`cache` does) and never follows referrals. What an
//! upstream said is changed in two ways: records that do not belong to the question are left out, and
//! data of zones that this server is authoritative for is replaced by its own.
//!
//! It must never know: any plugin, what is in zones, which queries are asked here.

mod baseline;
mod breaker;
mod config;
mod each;
mod exchange;
mod grpc;
mod health;
mod hedge;
mod lookup;
mod members;
mod message;
mod numbers;
mod own;
mod policy;
mod pulse;
mod run;
mod secure;
mod setup;
mod taps;
mod target;
mod tend;
mod to;
mod upstream;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chain::Chain;
use net::client::Network;
use telemetry::metrics::{self, Counter};
use wire::edns::ede;
use wire::{Failure, Query, Rcode, Reply};

pub use baseline::baseline_metrics;
pub use breaker::Breaker;
pub use config::{Config, Own, Wanted, Who};
pub use each::{Each, Health, Tls};
pub use grpc::{GrpcConfig, GrpcGroup};
pub use hedge::Hedge;
pub use policy::Policy;
pub use words::{rcode, server_name, some, tls};

use hedge::Tokens;
use members::Roster;
use own::OwnData;
use policy::Turns;
use taps::Watchers;

/// How long one query may take in all, unless a single upstream may take longer.
const BUDGET: Duration = Duration::from_secs(5);
/// Queries that wait for upstreams at once, in the whole process: each has a socket and a few
/// kilobytes.
const MAX_IN_FLIGHT: usize = 10_000;

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// Upstreams of which each can answer every query.
pub struct Group {
    roster: Arc<Roster>,
    policy: Turns,
    network: Arc<Network>,
    /// Under way here.
    concurrent: AtomicUsize,
    broken: Counter,
    rejected: Counter,
    overloaded: Counter,
    unhedged: Counter,
    /// Who may be asked twice, if anybody.
    tokens: Option<Tokens>,
    budget: Duration,
    watchers: Watchers,
    own: OwnData,
    config: Config,
}

impl Group {
    fn new(
        config: Config,
        roster: Arc<Roster>,
        network: Arc<Network>,
        watchers: Watchers,
        own: OwnData,
    ) -> Self {
        Self {
            policy: Turns::new(config.policy, config.most_servers),
            network,
            concurrent: AtomicUsize::new(0),
            broken: baseline::broken(),
            rejected: baseline::rejected(),
            overloaded: metrics::counter(
                "catena_forward_overload_rejects_total",
                "Queries refused because too many queries were waiting for upstreams.",
                &[],
                &[],
            ),
            unhedged: metrics::counter(
                "catena_forward_hedges_denied_total",
                "Late queries that were not hedged because too many hedges had been sent.",
                &[],
                &[],
            ),
            tokens: config.hedge.map(Tokens::new),
            // An operator who grants an upstream more than the budget means it.
            budget: config.budget.unwrap_or_else(|| BUDGET.max(roster.longest())),
            roster,
            watchers,
            own,
            config,
        }
    }

    /// Asks until somebody answers; the reply is loaded into `reply`.
    ///
    /// # Errors
    /// No upstream answered, or too many queries are waiting.
    pub async fn ask(&self, query: &mut Query, reply: &mut Reply) -> Result<(), Failure> {
        {
            let _places = self.enter(query)?;
            self.ask_around(query, reply).await?;
        }
        self.own.settle(query, reply).await;
        Ok(())
    }

    /// Finds the plugins of the complete chain that record messages to upstreams.
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
