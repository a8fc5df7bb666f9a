//! What all phases share.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use chain::{ChainRef, Clock, Query, Reply};

use super::outcome::{Handed, Outcome};
use crate::cache::config::Config;
use crate::cache::flight::Flights;
use crate::cache::metrics::Counts;
use crate::cache::store::Store;

/// The plugin.
pub(in crate::cache) struct Cache {
    pub(in crate::cache) config: Config,
    pub(in crate::cache) store: Arc<Store>,
    pub(in crate::cache) flights: Arc<Flights<Outcome>>,
    /// One for each key of the block.
    pub(in crate::cache) counts: Box<[Counts]>,
    pub(in crate::cache) clock: Clock,
    pub(in crate::cache) chain_ref: ChainRef,
    pub(in crate::cache) handed: exchange::StateKey<Handed>,
    pub(in crate::cache) background: Arc<AtomicUsize>,
}

impl Cache {
    /// Whether this question can be answered from a cache. A plugin before this one that changes
    /// the name begins the reply anew; if not, the reply's pointers would be wrong.
    #[inline]
    pub(super) fn applies(&self, query: &Query, reply: &Reply) -> bool {
        reply.question_end() == query.question_end() && self.config.zones.contains(query)
    }

    #[inline]
    pub(super) fn counts(&self, query: &Query) -> &Counts {
        let last = self.counts.len() - 1;
        &self.counts[usize::from(query.state.key).min(last)]
    }
}
