//! A group of upstreams of which each can answer every query, and its bounds.

use std::sync::Arc;
use std::time::Duration;

use chain::Chain;
use exchange::Query;
use net::client::Network;
use net::{Bound, Permit};
use telemetry::metrics::Counter;
use wire::Failure;

use super::hedge::Tokens;
use super::metrics;
use super::order::Selector;
use super::taps::Watchers;
use super::trouble::overload;
use crate::config::Config;
use crate::message::OwnData;
use crate::roster::Roster;

/// How long one query may take in all, unless a single upstream may take longer.
const BUDGET: Duration = Duration::from_secs(5);
/// Queries that wait for upstreams at once, in the whole process: each has a socket and a few
/// kilobytes.
const MAX_IN_FLIGHT: usize = 10_000;

static IN_FLIGHT: Bound = Bound::new(MAX_IN_FLIGHT);

/// Upstreams of which each can answer every query.
pub struct Group {
    pub(super) roster: Arc<Roster>,
    pub(super) policy: Selector,
    pub(super) network: Arc<Network>,
    /// Queries in flight from this block.
    concurrent: Bound,
    pub(super) broken: Counter,
    rejected: Counter,
    pub(super) overloaded: Counter,
    pub(super) unhedged: Counter,
    /// The budget of hedges; `None`: no hedges.
    pub(super) tokens: Option<Tokens>,
    pub(super) budget: Duration,
    pub(super) watchers: Watchers,
    pub(super) own: OwnData,
    pub(super) config: Config,
}

/// The queries that wait for upstreams now, in the whole process.
pub(crate) fn in_flight() -> usize {
    IN_FLIGHT.in_use()
}

impl Group {
    pub(crate) fn new(
        config: Config,
        roster: Arc<Roster>,
        network: Arc<Network>,
        watchers: Watchers,
        own: OwnData,
    ) -> Self {
        Self {
            policy: Selector::new(config.policy, config.most_servers),
            network,
            concurrent: Bound::new(match config.max_concurrent {
                0 => usize::MAX,
                most => most,
            }),
            broken: metrics::broken(config.owner),
            rejected: metrics::rejected(config.owner),
            overloaded: metrics::overloaded(config.owner),
            unhedged: metrics::unhedged(config.owner),
            tokens: config.hedge.map(Tokens::new),
            // An operator who grants an upstream more than the budget means it.
            budget: config.budget.unwrap_or_else(|| BUDGET.max(roster.longest_timeout())),
            roster,
            watchers,
            own,
            config,
        }
    }

    /// Finds the plugins of the complete chain that record messages to upstreams.
    pub fn complete(&self, chain: &Chain) {
        self.watchers.look(chain);
    }

    /// Counts the query among those in flight.
    pub(super) fn enter(&self, query: &Query) -> Result<[Permit<&Bound>; 2], Failure> {
        let all = IN_FLIGHT.try_acquire().ok_or_else(|| {
            self.overloaded.inc(query.client.worker);
            overload("too many queries wait for upstreams".to_owned())
        })?;
        let here = self.concurrent.try_acquire().ok_or_else(|| {
            self.rejected.inc(query.client.worker);
            let most = self.concurrent.most();
            overload(format!("concurrent queries exceeded maximum {most}"))
        })?;
        Ok([here, all])
    }
}
