//! A block's two halves of the cache, and which of them answers.

mod ghosts;
mod hints;
mod lengths;
mod queue;
mod quota;
mod shard;
mod shared;
mod space;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wire::{Moment, Rcode};

use super::config::Config;
use super::entry::{Entry, Key};
use super::partition::Half;
use lengths::Lengths;
use shard::Change;
pub(super) use shared::{About, Shared};
use space::Part;
pub(super) use space::{Evicted, Space};

/// Answers and denials of a block. Kept over a reload.
pub(super) struct Store {
    success: Space,
    denial: Space,
    /// Of what networks there may be answers of their own.
    pub(super) lengths: Lengths,
    /// Nobody asked yet whether it is new.
    new: AtomicBool,
}

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
    /// Places in `shared` as many as the capacities say.
    pub(super) fn new(shared: &Arc<Shared>, config: &Config, view: &str) -> Self {
        let space = |half: Half| {
            let (zones, view) = (config.zones_label.clone(), view.to_owned());
            Space::new(shared, config.limits(half).capacity, About { half, zones, view })
        };
        Self {
            success: space(Half::Success),
            denial: space(Half::Denial),
            lengths: Lengths::default(),
            new: AtomicBool::new(true),
        }
    }

    /// Whether it is new, to the first who asks.
    pub(super) fn is_new(&self) -> bool {
        self.new.swap(false, Ordering::Relaxed)
    }

    /// Octets that its capacities stand for.
    pub(super) fn asked(&self) -> u64 {
        self.success.asked().saturating_add(self.denial.asked())
    }

    /// Where one half lies.
    pub(super) fn half(&self, half: Half) -> &Space {
        match half {
            Half::Success => &self.success,
            Half::Denial => &self.denial,
        }
    }

    /// How many entries one half has.
    pub(super) fn len(&self, half: Half) -> usize {
        self.half(half).len()
    }

    /// Starts to fetch what a look for `key` reads first: where answers are, most are found there.
    #[inline]
    pub(super) fn prefetch(&self, key: &Key<'_>) {
        self.success.prefetch(key);
    }

    /// Starts to fetch what keeping an answer under `key` will read.
    pub(super) fn prepare(&self, key: &Key<'_>) {
        self.success.prepare(&self.success.part_of(key), key);
        self.denial.prefetch(key);
    }

    /// As long as this number stays what it is, [`Store::find`] finds nothing where it found nothing.
    #[inline]
    pub(super) fn news(&self, key: &Key<'_>) -> u32 {
        self.success.news(key)
    }

    /// What answers `key`: a denial before an answer, but any answer before a failure.
    #[inline]
    pub(super) fn find(&self, key: &Key<'_>, now: Moment, config: &Config) -> Found {
        let part = self.success.part_of(key);
        match self.success.get_in(&part, key) {
            // The one look that most hits need: a fresh answer, and no denial after it.
            Some(entry) if !config.prefer_positive && !entry.is_denied() && entry.ttl(now) > 0 => {
                Found::Fresh(Half::Success, entry)
            }
            positive => self.choose(&part, key, positive, now, config),
        }
    }

    fn choose(
        &self,
        part: &Part<'_>,
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
        if let Some(denial) = self.denial.get_in(part, key) {
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

    /// Keeps an answer, which was made for this half.
    pub(super) fn keep(
        &self,
        half: Half,
        key: &Key<'_>,
        entry: &Arc<Entry>,
        config: &Config,
    ) -> Evicted {
        let replaces_denial =
            half == Half::Success && (!config.prefer_positive || entry.facts().answering);
        if half == Half::Success && !replaces_denial {
            entry.set_denied();
        }
        self.half(half).insert_beside(Arc::clone(entry), |part| match half {
            // An answer is news about the name: it takes the place of the denial.
            Half::Success if replaces_denial => self.denial.remove_in(part, key),
            Half::Success => Change::default(),
            Half::Denial => {
                if let Some(positive) = self.success.peek_in(part, key) {
                    positive.set_denied();
                }
                Change::default()
            }
        })
    }
}
