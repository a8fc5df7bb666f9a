//! The two halves of the cache, and which of them answers.

use std::hash::BuildHasherDefault;
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};
use wire::{Moment, Rcode};

use super::config::{Config, Half};
use super::entry::{Entry, Key, Mixed, Slot};

/// Answers and denials. Kept over a reload.
pub(super) struct Store {
    success: Entries,
    denial: Entries,
}

type Entries = Cache<Slot, Arc<Entry>, Weight, BuildHasherDefault<Mixed>, Evicted>;

/// What a look into the cache gave.
pub(super) enum Found {
    /// An entry within its lifetime.
    Fresh(Half, Arc<Entry>),
    /// An entry past it, within the time that `serve_stale` allows.
    Stale(Half, Arc<Entry>),
    /// Nothing to answer with.
    Nothing,
}

impl Store {
    /// An empty cache of these capacities.
    pub(super) fn new(config: &Config) -> Self {
        Self { success: entries(config.success.capacity), denial: entries(config.denial.capacity) }
    }

    fn half(&self, half: Half) -> &Entries {
        match half {
            Half::Success => &self.success,
            Half::Denial => &self.denial,
        }
    }

    /// How many entries one half has.
    pub(super) fn len(&self, half: Half) -> usize {
        self.half(half).len()
    }

    /// What answers `key`: a denial before an answer, but any answer before a failure.
    #[inline]
    pub(super) fn find(&self, key: &Key<'_>, now: Moment, config: &Config) -> Found {
        match self.success.get(key) {
            // The one look that most hits need: a fresh answer, and no denial after it.
            Some(entry) if !config.prefer_positive && !entry.is_denied() && entry.ttl(now) > 0 => {
                Found::Fresh(Half::Success, entry)
            }
            positive => self.choose(key, positive, now, config),
        }
    }

    fn choose(
        &self,
        key: &Key<'_>,
        positive: Option<Arc<Entry>>,
        now: Moment,
        config: &Config,
    ) -> Found {
        let stale_for = config.stale.map_or(0, |stale| i64::from(stale.up_to));
        let usable = |half: Half, entry: Arc<Entry>| {
            let ttl = entry.ttl(now);
            if ttl > 0 {
                return Some(Found::Fresh(half, entry));
            }
            // A failure is no data that could be stale (RFC 8767 section 4).
            let failed = matches!(entry.facts().rcode, Rcode::SERVFAIL | Rcode::NOTIMP);
            (-ttl < stale_for && !failed).then_some(Found::Stale(half, entry))
        };
        if config.prefer_positive
            && stale_for > 0
            && let Some(entry) = positive.as_ref().and_then(Entry::answering)
            && let Some(found) = usable(Half::Success, Arc::clone(entry))
        {
            return found;
        }
        if let Some(denial) = self.denial.get(key) {
            let failed = denial.facts().rcode == Rcode::SERVFAIL;
            if let Some(found) = usable(Half::Denial, denial) {
                // A failure passes; what was known before is the better answer.
                let better = positive.filter(|_| failed);
                let better = better.and_then(|entry| usable(Half::Success, entry));
                return better.unwrap_or(found);
            }
        }
        positive.and_then(|entry| usable(Half::Success, entry)).unwrap_or(Found::Nothing)
    }

    /// The entry under `key` whatever its age.
    pub(super) fn any(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.denial.peek(key).or_else(|| self.success.peek(key))
    }

    /// The last answer to this question, however old.
    pub(super) fn last_good(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.success.peek(key).as_ref().and_then(Entry::answering).cloned()
    }

    /// Keeps an answer; the number of entries that had to go for it.
    pub(super) fn keep(
        &self,
        half: Half,
        key: &Key<'_>,
        entry: &Arc<Entry>,
        config: &Config,
    ) -> u64 {
        let slot = Slot(Arc::clone(entry));
        let replaces_denial =
            half == Half::Success && (!config.prefer_positive || entry.facts().answering);
        if half == Half::Success && !replaces_denial {
            entry.set_denied();
        }
        let mut evicted = Vec::new();
        self.half(half).insert_with_lifecycle(slot.clone(), Arc::clone(entry), &mut evicted);
        match half {
            // An answer is news about the name: it takes the place of the denial.
            Half::Success if replaces_denial => drop(self.denial.remove(key)),
            Half::Success => {}
            Half::Denial => {
                if let Some(positive) = self.success.peek(key) {
                    positive.set_denied();
                }
            }
        }
        // The entry that this one replaces has the same key; it was not evicted.
        evicted.iter().filter(|gone| **gone != slot).count() as u64
    }
}

fn entries(capacity: u64) -> Entries {
    // A shard must have room for the largest message, and for more than that; so small caches have
    // few shards, and from 8192 entries on there are 64, which workers rarely meet in.
    let shards = 1u64 << (capacity / 128).clamp(1, 64).ilog2();
    let options = OptionsBuilder::new()
        .shards(shards as usize)
        .estimated_items_capacity(capacity as usize)
        .weight_capacity(capacity)
        .build();
    match options {
        Ok(options) => Cache::with_options(options, Weight, BuildHasherDefault::default(), Evicted),
        // Fails only when one of the numbers above is missing.
        Err(_) => {
            Cache::with(capacity as usize, capacity, Weight, BuildHasherDefault::default(), Evicted)
        }
    }
}

/// Entries weigh one for each KiB they start.
#[derive(Clone)]
struct Weight;

impl Weighter<Slot, Arc<Entry>> for Weight {
    fn weight(&self, _: &Slot, entry: &Arc<Entry>) -> u64 {
        entry.weight()
    }
}

/// Collects what an insertion pushes out.
#[derive(Clone)]
struct Evicted;

impl Lifecycle<Slot, Arc<Entry>> for Evicted {
    type RequestState = Vec<Slot>;

    fn on_evict(&self, gone: &mut Vec<Slot>, slot: Slot, _: Arc<Entry>) {
        gone.push(slot);
    }
}
