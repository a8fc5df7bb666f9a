//! The plugin: the state that all phases share.

use std::sync::Arc;

use chain::{ChainRef, Clock, OwnZones, Query, Reply};
use net::Bound;

use super::outcome::{Outcome, QueryState};
use crate::cache::config::Config;
use crate::cache::flight::Flights;
use crate::cache::metrics::CacheMetrics;
use crate::cache::store::Store;

/// The plugin.
pub(in crate::cache) struct Cache {
    pub(in crate::cache) config: Config,
    pub(in crate::cache) store: Arc<Store>,
    pub(in crate::cache) flights: Arc<Flights<Outcome>>,
    /// One for each key of the block.
    pub(in crate::cache) metrics: Box<[CacheMetrics]>,
    /// The zones that this server is authoritative for: some answers depend on their version.
    pub(in crate::cache) own_zones: Arc<OwnZones>,
    pub(in crate::cache) clock: Clock,
    pub(in crate::cache) chain_ref: ChainRef,
    pub(in crate::cache) query_state: exchange::StateKey<QueryState>,
    /// Bounds the verifications that continue after their clients were answered.
    pub(in crate::cache) background: Arc<Bound>,
}

/// The most verifications that continue after their clients were answered.
pub(in crate::cache) const MAX_BACKGROUND: usize = 1000;

impl Cache {
    /// Whether the query can be answered from the cache. The reply must begin with the query's question:
    /// compressed names of an entry point into it.
    #[inline]
    pub(super) fn applies(&self, query: &Query, reply: &Reply) -> bool {
        reply.question_end() == query.question_end() && self.config.zones.contains(query)
    }

    #[inline]
    pub(super) fn metrics(&self, query: &Query) -> &CacheMetrics {
        let last = self.metrics.len() - 1;
        &self.metrics[usize::from(query.state.key).min(last)]
    }
}
