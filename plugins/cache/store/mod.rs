//! The store of a block: its two partitions, and which of them answers.

mod ghosts;
mod hints;
mod lengths;
mod queue;
mod quota;
mod shard;
mod shared;
mod tenant;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wire::{Moment, Rcode};

use super::config::Config;
use super::entry::{Entry, Key};
use super::partition::Partition;
use lengths::PrefixLengths;
use shard::Change;
pub(super) use shared::{SharedStore, TenantInfo};
use tenant::ReadShard;
pub(super) use tenant::{Evicted, Tenant};

/// Answers and denials of a block. It survives a reload.
pub(super) struct Store {
    success: Tenant,
    denial: Tenant,
    /// The lengths of the networks that may have an answer of their own.
    pub(super) lengths: PrefixLengths,
    /// Set until the first call of [`Store::is_new`].
    new: AtomicBool,
}

/// The result of a lookup.
pub(super) enum Found {
    /// An entry within its lifetime.
    Fresh(Partition, Arc<Entry>),
    /// An expired entry, within the time that `serve_stale` allows.
    Stale(Partition, Arc<Entry>),
    /// No entry to answer with.
    Miss,
}

impl Store {
    /// An empty store with room in `shared` for the capacities of `config`.
    pub(super) fn new(shared: &Arc<SharedStore>, config: &Config, view: &str) -> Self {
        let tenant = |partition: Partition| {
            let (zones, view) = (config.zones_label.clone(), view.to_owned());
            Tenant::new(
                shared,
                config.limits(partition).capacity,
                TenantInfo { partition, zones, view },
            )
        };
        Self {
            success: tenant(Partition::Success),
            denial: tenant(Partition::Denial),
            lengths: PrefixLengths::default(),
            new: AtomicBool::new(true),
        }
    }

    /// Whether the store is new: true for the first call only.
    pub(super) fn is_new(&self) -> bool {
        self.new.swap(false, Ordering::Relaxed)
    }

    /// Octets that the capacities stand for.
    pub(super) fn capacity(&self) -> u64 {
        self.success.capacity().saturating_add(self.denial.capacity())
    }

    /// The tenant that holds one partition.
    pub(super) fn tenant(&self, partition: Partition) -> &Tenant {
        match partition {
            Partition::Success => &self.success,
            Partition::Denial => &self.denial,
        }
    }

    /// The number of entries in one partition.
    pub(super) fn len(&self, partition: Partition) -> usize {
        self.tenant(partition).len()
    }

    /// Prefetches what a lookup of `key` reads first: the success partition, where most hits are.
    #[inline]
    pub(super) fn prefetch(&self, key: &Key<'_>) {
        self.success.prefetch(key);
    }

    /// Prefetches what an insertion of an answer under `key` will read.
    pub(super) fn prefetch_insert(&self, key: &Key<'_>) {
        self.success.prefetch_insert(&self.success.read_shard(key), key);
        self.denial.prefetch(key);
    }

    /// Version of the shard of `key`: a lookup that missed cannot hit before this changes.
    #[inline]
    pub(super) fn version(&self, key: &Key<'_>) -> u32 {
        self.success.version(key)
    }

    /// The entry that answers `key`. A denial wins over an answer; any answer wins over a failure.
    #[inline]
    pub(super) fn find(&self, key: &Key<'_>, now: Moment, config: &Config) -> Found {
        let shard = self.success.read_shard(key);
        match self.success.get_in(&shard, key) {
            // Most hits need this lookup only: a fresh answer that no later denial contradicts.
            Some(entry) if !config.prefer_positive && !entry.is_denied() && entry.ttl(now) > 0 => {
                Found::Fresh(Partition::Success, entry)
            }
            positive => self.choose(&shard, key, positive, now, config),
        }
    }

    fn choose(
        &self,
        shard: &ReadShard<'_>,
        key: &Key<'_>,
        positive: Option<Arc<Entry>>,
        now: Moment,
        config: &Config,
    ) -> Found {
        let stale_for = config.stale.map_or(0, |stale| i64::from(stale.up_to));
        let usable = |partition: Partition, entry: Arc<Entry>| {
            let ttl = entry.ttl(now);
            if ttl > 0 {
                return Some(Found::Fresh(partition, entry));
            }
            // A failure is not data, so it cannot be stale (RFC 8767 section 4).
            let failed = matches!(entry.facts().rcode, Rcode::SERVFAIL | Rcode::NOTIMP);
            (-ttl < stale_for && !failed).then_some(Found::Stale(partition, entry))
        };
        if config.prefer_positive
            && stale_for > 0
            && let Some(entry) = positive.as_ref().and_then(Entry::last_answering)
            && let Some(found) = usable(Partition::Success, Arc::clone(entry))
        {
            return found;
        }
        if let Some(denial) = self.denial.get_in(shard, key) {
            let failed = denial.facts().rcode == Rcode::SERVFAIL;
            if let Some(found) = usable(Partition::Denial, denial) {
                // A failure is temporary: an earlier answer is better.
                let better = positive.filter(|_| failed);
                let better = better.and_then(|entry| usable(Partition::Success, entry));
                return better.unwrap_or(found);
            }
        }
        positive.and_then(|entry| usable(Partition::Success, entry)).unwrap_or(Found::Miss)
    }

    /// The entry under `key`, of any age. The lookup does not count as a use.
    pub(super) fn peek(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.denial.peek(key).or_else(|| self.success.peek(key))
    }

    /// The last positive answer to `key`, of any age.
    pub(super) fn last_positive(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.success.peek(key).as_ref().and_then(Entry::last_answering).cloned()
    }

    /// Inserts an entry that was made for this partition.
    pub(super) fn insert(
        &self,
        partition: Partition,
        key: &Key<'_>,
        entry: &Arc<Entry>,
        config: &Config,
    ) -> Evicted {
        let replaces_denial =
            partition == Partition::Success && (!config.prefer_positive || entry.facts().answering);
        if partition == Partition::Success && !replaces_denial {
            entry.set_denied();
        }
        self.tenant(partition).insert_with(Arc::clone(entry), |shard| match partition {
            // A new answer replaces the denial of the name.
            Partition::Success if replaces_denial => self.denial.remove_in(shard, key),
            Partition::Success => Change::default(),
            Partition::Denial => {
                if let Some(positive) = self.success.peek_in(shard, key) {
                    positive.set_denied();
                }
                Change::default()
            }
        })
    }
}
