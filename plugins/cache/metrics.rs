//! The metrics, with CoreDNS's names and labels.

use std::sync::Arc;

use chain::{Key, Query};
use telemetry::metrics::{self, Counter};

use super::partition::Partition;
use super::store::Store;

/// The counters of one listener.
pub(super) struct CacheMetrics {
    pub(super) requests: Counter,
    hits: [Counter; 2],
    pub(super) misses: Counter,
    pub(super) prefetches: Counter,
    pub(super) drops: Counter,
    pub(super) served_stale: Counter,
    evictions: [Counter; 2],
    pub(super) coalesced: Counter,
    pub(super) refused: Counter,
    pub(super) scopes_refused: Counter,
}

const BY_TYPE: &[&str] = &["server", "type", "zones", "view"];
const PLAIN: &[&str] = &["server", "zones", "view"];

impl CacheMetrics {
    /// The counters of the listener `server`. They continue those of an earlier configuration.
    pub(super) fn new(server: &str, zones: &str, view: &str) -> Self {
        let plain = |name, help| metrics::counter(name, help, PLAIN, &[server, zones, view]);
        let by_type = |name, help| {
            [Partition::Success, Partition::Denial].map(|partition| {
                metrics::counter(name, help, BY_TYPE, &[server, partition.label(), zones, view])
            })
        };
        Self {
            requests: plain("coredns_cache_requests_total", "The count of cache requests."),
            hits: by_type("coredns_cache_hits_total", "The count of cache hits."),
            misses: plain(
                "coredns_cache_misses_total",
                "The count of cache misses. Deprecated, derive misses from cache hits/requests \
                 counters.",
            ),
            prefetches: plain(
                "coredns_cache_prefetch_total",
                "The number of times the cache has prefetched a cached item.",
            ),
            drops: plain(
                "coredns_cache_drops_total",
                "The number responses that are not cached, because the reply is malformed.",
            ),
            served_stale: plain(
                "coredns_cache_served_stale_total",
                "The number of requests served from stale cache entries.",
            ),
            evictions: by_type("coredns_cache_evictions_total", "The count of cache evictions."),
            coalesced: plain(
                "catena_cache_coalesced_total",
                "The number of requests answered with the reply to an identical query in flight.",
            ),
            refused: plain(
                "catena_cache_coalesce_refused_total",
                "The number of requests refused because too many already waited for a reply.",
            ),
            scopes_refused: plain(
                "catena_cache_scopes_refused_total",
                "The number of replies not cached because too many networks already had one.",
            ),
        }
    }

    #[inline]
    pub(super) fn hit(&self, partition: Partition, query: &Query) {
        self.hits[partition as usize].inc(query.client.worker);
    }

    pub(super) fn evicted(&self, partition: Partition, query: &Query, entries: u64) {
        if entries > 0 {
            self.evictions[partition as usize].add(query.client.worker, entries);
        }
    }
}

/// Registers the gauge of entries in `store` for each server of the block.
pub(super) fn register_entries(keys: &[Key], zones: &str, view: &str, store: &Arc<Store>) {
    for key in keys {
        for partition in [Partition::Success, Partition::Denial] {
            let store = Arc::downgrade(store);
            metrics::gauge_fn(
                "coredns_cache_entries",
                "The number of elements in the cache.",
                BY_TYPE,
                &[&key.server, partition.label(), zones, view],
                move || store.upgrade().map_or(0.0, |store| store.len(partition) as f64),
            );
        }
    }
}
