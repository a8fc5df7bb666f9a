//! The one store of the process: the entries of all blocks, within a number of octets.
//!
//! Each half of each block's cache is a space with a number of its own, which is a part of every key:
//! what one block keeps no other ever sees. A space has places for so many entries; the octets of all
//! spaces together are bounded. A block that goes gives its room back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use chain::memory::{Holder, Memory};
use wire::hash::mix;
use wire::prefetch::{fetch_lines, fetch_place};

use super::super::config::Half;
use super::super::entry::{Entry, Key};
use super::shard::{Change, Shard};
use super::table::Cell;

/// Parts, each with a lock of its own: workers rarely meet in one.
const SHARDS: usize = 64;
/// Octets that one place of a space stands for.
const PLACE: u64 = 1024;

/// The store.
pub(in crate::cache) struct Shared {
    shards: [Alone<RwLock<Shard>>; SHARDS],
    outlines: [Outline; SHARDS],
    /// Octets of all entries.
    octets: AtomicI64,
    /// Octets of all places of all spaces.
    asked: AtomicU64,
    memory: Option<Arc<Memory>>,
    numbers: Mutex<Numbers>,
}

/// On cache lines that it shares with nothing else.
#[repr(align(64))]
struct Alone<T>(T);

/// What is known of a part without its lock.
struct Outline {
    /// Where the cells of its table are, and what leaves of a hash the number of its first cell: to fetch that.
    /// Hints only, never followed.
    cells: AtomicPtr<Cell>,
    mask: AtomicUsize,
    /// How often something was kept there.
    news: AtomicU32,
}

impl Outline {
    fn new((cells, mask): (*const Cell, usize)) -> Self {
        Self {
            cells: AtomicPtr::new(cells.cast_mut()),
            mask: AtomicUsize::new(mask),
            news: AtomicU32::new(0),
        }
    }

    /// Something was kept. The part is still locked.
    #[inline]
    fn note(&self, (cells, mask): (*const Cell, usize)) {
        self.cells.store(cells.cast_mut(), Ordering::Relaxed);
        self.mask.store(mask, Ordering::Relaxed);
        let news = self.news.load(Ordering::Relaxed);
        self.news.store(news.wrapping_add(1), Ordering::Relaxed);
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        let cell = hash as usize & self.mask.load(Ordering::Relaxed);
        fetch_place(self.cells.load(Ordering::Relaxed).wrapping_add(cell), 1);
    }
}

/// Numbers of spaces: those given back are used again.
#[derive(Default)]
struct Numbers {
    next: u32,
    free: Vec<u32>,
    about: HashMap<u32, Arc<About>>,
}

/// What a person knows a space by.
#[derive(Clone, Debug)]
pub(in crate::cache) struct About {
    pub(in crate::cache) half: Half,
    pub(in crate::cache) zones: String,
    pub(in crate::cache) view: String,
}

/// How many entries a space has.
#[derive(Default)]
pub(in crate::cache) struct Tally {
    entries: AtomicUsize,
}

impl Tally {
    pub(super) fn grow(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn shrink(&self) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// An empty store, which takes no more than `memory` leaves to it.
    pub(in crate::cache) fn new(memory: Option<Arc<Memory>>) -> Arc<Self> {
        let shards: [Shard; SHARDS] = std::array::from_fn(|_| Shard::new());
        let outlines = shards.each_ref().map(|shard| Outline::new(shard.whereabouts()));
        let shared = Arc::new(Self {
            shards: shards.map(|shard| Alone(RwLock::new(shard))),
            outlines,
            octets: AtomicI64::new(0),
            asked: AtomicU64::new(0),
            memory,
            numbers: Mutex::default(),
        });
        if let Some(memory) = &shared.memory {
            memory.enter(Arc::downgrade(&shared) as Weak<dyn Holder>);
        }
        shared
    }

    /// A new space for `capacity` entries.
    pub(in crate::cache) fn space(self: &Arc<Self>, capacity: u64, about: About) -> Space {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next
        });
        numbers.about.insert(number, Arc::new(about));
        drop(numbers);
        let octets = capacity.saturating_mul(PLACE);
        self.asked.fetch_add(octets, Ordering::Relaxed);
        let quota = usize::try_from(capacity / SHARDS as u64).unwrap_or(usize::MAX).max(1);
        Space { shared: Arc::clone(self), number, quota, octets, tally: Arc::default() }
    }

    /// Octets of all entries.
    pub(in crate::cache) fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed).max(0) as u64
    }

    /// How many octets they may have: one KiB for each place, and what the process's memory allows.
    fn bound(&self) -> u64 {
        let asked = self.asked.load(Ordering::Relaxed);
        self.memory.as_ref().map_or(asked, |memory| memory.for_stores().min(asked))
    }

    /// Shows entries of all blocks until `show` says no.
    pub(in crate::cache) fn each(&self, mut show: impl FnMut(&Arc<Entry>, &About) -> bool) {
        let about = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).about.clone();
        for index in 0..SHARDS {
            let part: Vec<Arc<Entry>> = self.part(index, |_| true);
            let known = |entry: Arc<Entry>| Some((about.get(&entry.space())?, entry));
            for (about, entry) in part.into_iter().filter_map(known) {
                if !show(&entry, about) {
                    return;
                }
            }
        }
    }

    /// The entries of one shard that `which` says yes to.
    fn part(&self, index: usize, which: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let shard = self.shards[index].0.read().unwrap_or_else(PoisonError::into_inner);
        shard.entries().filter(|entry| which(entry)).cloned().collect()
    }

    /// Forgets the entries of all blocks that `which` says yes to; how many answers that were.
    pub(in crate::cache) fn forget(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let mut answers = 0;
        for index in 0..SHARDS {
            let gone = self.write(index).remove_where(&which);
            self.add(-(gone.iter().map(|entry| entry.octets() as i64).sum::<i64>()));
            answers += gone.iter().filter(|entry| entry.is_answer()).count();
        }
        answers
    }

    fn write(&self, index: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[index].0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, octets: i64) -> u64 {
        let before = self.octets.fetch_add(octets, Ordering::Relaxed);
        (before + octets).max(0) as u64
    }

    /// Lets entries go until there are at most `bound` octets, beginning with this shard, which is
    /// locked already; how many went.
    fn make_room<'a>(
        &'a self,
        first: usize,
        mut shard: RwLockWriteGuard<'a, Shard>,
        bound: u64,
    ) -> u64 {
        let mut evicted = 0;
        for step in 1..=SHARDS {
            while self.octets() > bound {
                let Some(octets) = shard.evict_any() else { break };
                self.add(-(octets as i64));
                evicted += 1;
            }
            if self.octets() <= bound {
                break;
            }
            // Two are never locked at once.
            drop(shard);
            shard = self.write((first + step) % SHARDS);
        }
        evicted
    }
}

impl Holder for Shared {
    fn held(&self) -> u64 {
        self.octets()
    }

    fn let_go(&self) -> u64 {
        let bound = self.bound();
        let mut evicted = 0;
        // From each shard the same share, so that no part of the names is hit harder.
        let keep = bound as f64 / self.octets().max(1) as f64;
        for index in 0..SHARDS {
            let mut shard = self.write(index);
            let mut left = (shard.len() as f64 * (1.0 - keep)).ceil() as usize;
            while left > 0 && self.octets() > bound {
                let Some(octets) = shard.evict_any() else { break };
                self.add(-(octets as i64));
                evicted += 1;
                left -= 1;
            }
        }
        evicted
    }
}

/// The part for a key, the same in all spaces: both halves of a block look and change there under one lock.
#[inline]
fn index(key: &Key<'_>) -> usize {
    (key.hash >> 58) as usize
}

/// A half of a block's cache.
pub(in crate::cache) struct Space {
    shared: Arc<Shared>,
    number: u32,
    /// Entries in each shard.
    quota: usize,
    octets: u64,
    tally: Arc<Tally>,
}

/// What keeping an entry cost others.
pub(in crate::cache) struct Evicted {
    /// Entries of the same space.
    pub(in crate::cache) own: u64,
    /// Entries of any, because all together had too many octets.
    pub(in crate::cache) any: u64,
}

impl Space {
    /// Its number; every entry that is kept here has it.
    pub(in crate::cache) fn number(&self) -> u32 {
        self.number
    }

    /// How many entries it has.
    pub(in crate::cache) fn len(&self) -> usize {
        self.tally.entries.load(Ordering::Relaxed)
    }

    /// Octets that its places stand for.
    pub(in crate::cache) fn asked(&self) -> u64 {
        self.octets
    }

    /// In how many parts its entries are handed out.
    pub(in crate::cache) const fn parts() -> usize {
        SHARDS
    }

    /// The entries of one part.
    pub(in crate::cache) fn part(&self, index: usize) -> Vec<Arc<Entry>> {
        self.shared.part(index, |entry| entry.space() == self.number)
    }

    #[inline]
    fn hash(&self, key: &Key<'_>) -> u64 {
        mix(key.hash, u64::from(self.number))
    }

    /// Starts to fetch what [`Space::get`] reads first.
    #[inline]
    pub(in crate::cache) fn prefetch(&self, key: &Key<'_>) {
        // The lock, and where the table is.
        fetch_lines(&self.shared.shards[index(key)], 1);
        self.shared.outlines[index(key)].prefetch(self.hash(key));
    }

    /// A number that is another one as soon as anything was kept where entries under `key` lie.
    #[inline]
    pub(super) fn news(&self, key: &Key<'_>) -> u32 {
        self.shared.outlines[index(key)].news.load(Ordering::Relaxed)
    }

    /// The part of the store that entries under `key` lie in, those of other spaces, too.
    #[inline]
    pub(super) fn part_of(&self, key: &Key<'_>) -> Part<'_> {
        Part(self.shared.shards[index(key)].0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The entry under `key`, which counts as used.
    #[inline]
    pub(in crate::cache) fn get(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.get_in(&self.part_of(key), key)
    }

    /// The entry under `key`, which does not count as used.
    pub(in crate::cache) fn peek(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.part_of(key).0.get(self.hash(key), key, self.number).cloned()
    }

    /// [`Space::get`] in the part of `key`.
    #[inline]
    pub(super) fn get_in(&self, part: &Part<'_>, key: &Key<'_>) -> Option<Arc<Entry>> {
        let entry = part.0.get(self.hash(key), key, self.number)?;
        entry.use_once();
        Some(Arc::clone(entry))
    }

    /// Starts to fetch what keeping an entry under `key`, in the part of that key, will read.
    pub(super) fn prepare(&self, part: &Part<'_>, key: &Key<'_>) {
        let is_tight = self.shared.octets() >= self.shared.bound() / 10 * 9;
        part.0.prepare(self.hash(key), self.number, self.quota, is_tight);
    }

    /// Keeps an entry, which was made for this space.
    pub(in crate::cache) fn insert(&self, entry: Arc<Entry>) -> Evicted {
        self.insert_beside(entry, |_| Change::default())
    }

    /// The same; `beside` it something else changes in the part of its key.
    pub(super) fn insert_beside(
        &self,
        entry: Arc<Entry>,
        beside: impl FnOnce(&mut Shard) -> Change,
    ) -> Evicted {
        let key = entry.key();
        let (hash, index) = (self.hash(&key), index(&key));
        let mut shard = self.shared.write(index);
        let bound = self.shared.bound();
        let roomy = self.shared.octets() < bound / 10 * 9;
        let change = shard.insert(hash, entry, &self.tally, self.quota, roomy);
        let other = beside(&mut shard);
        self.shared.outlines[index].note(shard.whereabouts());
        let octets = self.shared.add(change.octets + other.octets);
        let any = if octets > bound { self.shared.make_room(index, shard, bound) } else { 0 };
        Evicted { own: change.evicted, any }
    }

    /// Forgets the entry under `key`, whose part this is.
    pub(super) fn remove_in(&self, part: &mut Shard, key: &Key<'_>) -> Change {
        let gone = part.remove(self.hash(key), key, self.number);
        Change { octets: gone.map_or(0, |entry| -(entry.octets() as i64)), evicted: 0 }
    }

    /// The entry under `key`, whose part this is; it does not count as used.
    pub(super) fn peek_in<'p>(&self, part: &'p Shard, key: &Key<'_>) -> Option<&'p Arc<Entry>> {
        part.get(self.hash(key), key, self.number)
    }
}

/// A part of the store, locked for looks.
pub(super) struct Part<'a>(RwLockReadGuard<'a, Shard>);

impl Drop for Space {
    fn drop(&mut self) {
        for index in 0..SHARDS {
            let octets = self.shared.write(index).clear(self.number);
            self.shared.add(-(octets as i64));
        }
        self.shared.asked.fetch_sub(self.octets, Ordering::Relaxed);
        let mut numbers = self.shared.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.about.remove(&self.number);
        numbers.free.push(self.number);
    }
}
