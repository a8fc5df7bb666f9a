//! A block's two halves of the cache, and which of them answers.

mod ghosts;
mod hints;
mod lengths;
mod queue;
mod quota;
mod shard;
mod shared;
mod table;
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

/// Answers and denials of a block. Kept over a reload.
pub(super) struct Store {
    success: Tenant,
    denial: Tenant,
    /// Of what networks there may be answers of their own.
    pub(super) lengths: PrefixLengths,
    /// Nobody asked yet whether it is new.
    new: AtomicBool,
}

/// What a look into the cache gave.
pub(super) enum Found {
    /// An entry within its lifetime.
    Fresh(Partition, Arc<Entry>),
    /// An entry past it, within the time that `serve_stale` allows.
    Stale(Partition, Arc<Entry>),
    /// Nothing to answer with.
    Miss,
}

impl Store {
    /// Places in `shared` as many as the capacities say.
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

    /// Whether it is new, to the first who asks.
    pub(super) fn is_new(&self) -> bool {
        self.new.swap(false, Ordering::Relaxed)
    }

    /// Octets that its capacities stand for.
    pub(super) fn capacity(&self) -> u64 {
        self.success.capacity().saturating_add(self.denial.capacity())
    }

    /// Where one half lies.
    pub(super) fn tenant(&self, partition: Partition) -> &Tenant {
        match partition {
            Partition::Success => &self.success,
            Partition::Denial => &self.denial,
        }
    }

    /// How many entries one half has.
    pub(super) fn len(&self, partition: Partition) -> usize {
        self.tenant(partition).len()
    }

    /// Starts to fetch what a look for `key` reads first: where answers are, most are found there.
    #[inline]
    pub(super) fn prefetch(&self, key: &Key<'_>) {
        self.success.prefetch(key);
    }

    /// Starts to fetch what keeping an answer under `key` will read.
    pub(super) fn prefetch_insert(&self, key: &Key<'_>) {
        self.success.prefetch_insert(&self.success.read_shard(key), key);
        self.denial.prefetch(key);
    }

    /// As long as this number stays what it is, [`Store::find`] finds nothing where it found nothing.
    #[inline]
    pub(super) fn version(&self, key: &Key<'_>) -> u32 {
        self.success.version(key)
    }

    /// What answers `key`: a denial before an answer, but any answer before a failure.
    #[inline]
    pub(super) fn find(&self, key: &Key<'_>, now: Moment, config: &Config) -> Found {
        let shard = self.success.read_shard(key);
        match self.success.get_in(&shard, key) {
            // The one look that most hits need: a fresh answer, and no denial after it.
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
            // A failure is no data that could be stale (RFC 8767 section 4).
            let failed = matches!(entry.facts().rcode, Rcode::SERVFAIL | Rcode::NOTIMP);
            (-ttl < stale_for && !failed).then_some(Found::Stale(partition, entry))
        };
        if config.prefer_positive
            && stale_for > 0
            && let Some(entry) = positive.as_ref().and_then(Entry::answering_entry)
            && let Some(found) = usable(Partition::Success, Arc::clone(entry))
        {
            return found;
        }
        if let Some(denial) = self.denial.get_in(shard, key) {
            let failed = denial.facts().rcode == Rcode::SERVFAIL;
            if let Some(found) = usable(Partition::Denial, denial) {
                // A failure passes; what was known before is the better answer.
                let better = positive.filter(|_| failed);
                let better = better.and_then(|entry| usable(Partition::Success, entry));
                return better.unwrap_or(found);
            }
        }
        positive.and_then(|entry| usable(Partition::Success, entry)).unwrap_or(Found::Miss)
    }

    /// The entry under `key` whatever its age.
    pub(super) fn peek(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.denial.peek(key).or_else(|| self.success.peek(key))
    }

    /// The last answer to this question, however old.
    pub(super) fn last_positive(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.success.peek(key).as_ref().and_then(Entry::answering_entry).cloned()
    }

    /// Keeps an answer, which was made for this half.
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
            // An answer is news about the name: it takes the place of the denial.
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
