//! One part of the shared store: a table of entries, and the order in which they have to go.
//!
//! The order is much like that of S3-FIFO (Yang and others, SOSP 2023). Once the room is taken, what is
//! new waits on probation, in a tenth of it; what is asked for there a second time moves to the rest,
//! and what is not goes first. So a scan of names that are asked for once runs through that tenth and
//! leaves the others alone. What had to go is remembered for a while; if it comes again and the oldest
//! of the rest is not in use, it goes there at once. `benches/stores` compares this with others.
//!
//! An entry stands in two lines of the same order: that of its space, which has a number of places,
//! and that of all spaces, whose octets are bounded. It must never know what a question is.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use wire::HashIndex;

use super::super::entry::{Entry, Key, Mixed, SpaceId};
use super::ghosts::Ghosts;
use super::queue::{self, ALONE, EMPTY, Line, Lines, NONE, Place, Queue, count, push, unlink};
use super::quota::Tally;

/// A part of the store.
#[repr(C)]
pub(super) struct Shard {
    // First, since a look that finds nothing reads no more of it.
    /// From hashes to places in `entries`.
    index: HashIndex,
    /// Entries by place. A hit reads these and no others, so they lie close together.
    entries: Vec<Option<Arc<Entry>>>,
    places: Vec<Place>,
    free: Vec<u32>,
    lines: Lines,
    spaces: Spaces,
    ghosts: Ghosts,
}

/// What of an entry only insertions and evictions look at.
/// One half of one block's cache, as far as it lies here.
struct Space {
    number: SpaceId,
    lines: Lines,
    tally: Arc<Tally>,
}

/// The spaces that have entries here.
#[derive(Default)]
struct Spaces {
    list: Vec<Space>,
    /// Indexes of those that have none any more.
    free: Vec<u32>,
    by_number: HashMap<SpaceId, u32, BuildHasherDefault<Mixed>>,
}

impl Spaces {
    fn find(&self, number: SpaceId) -> Option<u32> {
        self.by_number.get(&number).copied()
    }

    fn get(&self, index: u32) -> &Space {
        &self.list[index as usize]
    }

    fn get_mut(&mut self, index: u32) -> &mut Space {
        &mut self.list[index as usize]
    }

    /// The index of the space, which is about to have entries.
    fn enter(&mut self, number: SpaceId, tally: &Arc<Tally>) -> u32 {
        *self.by_number.entry(number).or_insert_with(|| {
            let space = Space { number, lines: EMPTY, tally: Arc::clone(tally) };
            if let Some(index) = self.free.pop() {
                self.list[index as usize] = space;
                return index;
            }
            self.list.push(space);
            self.list.len() as u32 - 1
        })
    }

    /// It has no entries any more.
    fn leave(&mut self, index: u32) {
        let number = self.get(index).number;
        self.by_number.remove(&number);
        self.free.push(index);
    }
}

/// Whose oldest entry has to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    All,
    /// Of the space with this index.
    Space(u32),
}

/// What a change of the shard made of its octets.
#[derive(Default)]
pub(super) struct Change {
    /// Octets more, or less.
    pub(super) octets: i64,
    /// Entries that had to go for it.
    pub(super) evicted: u64,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            index: HashIndex::default(),
            entries: Vec::new(),
            places: Vec::new(),
            free: Vec::new(),
            lines: EMPTY,
            spaces: Spaces::default(),
            ghosts: Ghosts::default(),
        }
    }

    /// The entry under `key` in `space`.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &Key<'_>, space: SpaceId) -> Option<&Arc<Entry>> {
        let at = self.find(hash, key, space)?;
        self.entries[at as usize].as_ref()
    }

    #[inline]
    fn find(&self, hash: u64, key: &Key<'_>, space: SpaceId) -> Option<u32> {
        self.index.find(hash, |at| {
            self.entries[at as usize].as_ref().is_some_and(|entry| entry.is(key, space))
        })
    }

    /// Where the cells of its index are, and how many.
    #[inline]
    pub(super) fn cells(&self) -> (*const u64, usize) {
        self.index.cells()
    }

    /// Starts to fetch what [`Shard::insert`] of an entry in `space` will read, the one that has to go for it
    /// included: all of that was last looked at long ago.
    pub(super) fn prepare(&self, hash: u64, space: SpaceId, quota: usize, is_tight: bool) {
        self.index.prefetch(hash);
        self.ghosts.prefetch(hash);
        let is_full = |own: &Space| count(&own.lines) >= quota;
        // The new one will be on probation by then.
        let with_new = |&[probation, resident]: &Lines| {
            queue::oldest(&[Line { len: probation.len + 1, ..probation }, resident])
        };
        let own = self.spaces.find(space).map(|index| self.spaces.get(index));
        let oldest = match own {
            Some(own) if is_full(own) => with_new(&own.lines),
            _ if is_tight => with_new(&self.lines),
            _ => None,
        };
        let Some(at) = oldest else { return };
        if let Some(Some(entry)) = self.entries.get(at as usize) {
            entry.prefetch();
            let hash = self.places[at as usize].hash;
            self.index.prefetch(hash);
            self.ghosts.prefetch(hash);
        }
    }

    /// Keeps an entry, in the place of the one with its key if there is one. Of its space there are at
    /// most `quota` entries here afterwards. While there is room, and the store is `roomy`, nobody
    /// waits on probation.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        entry: Arc<Entry>,
        tally: &Arc<Tally>,
        quota: usize,
        roomy: bool,
    ) -> Change {
        let space = entry.space();
        let mut change = Change { octets: entry.octets() as i64, evicted: 0 };
        if let Some(at) = self.find(hash, &entry.key(), space) {
            let old = self.entries[at as usize].replace(Arc::clone(&entry));
            if let Some(old) = old {
                entry.inherit_use(&old);
                change.octets -= old.octets() as i64;
            }
            return change;
        }
        let known = self.ghosts.recall(hash);
        let space = self.spaces.enter(space, tally);
        let residents = self.spaces.get(space).lines[1];
        let room = roomy && residents.len < quota - quota / 10;
        let queue = if room || known && self.is_idle(residents.oldest) {
            Queue::Resident
        } else {
            Queue::Probation
        };
        let at = self.place(hash, space, entry);
        self.enter(at, queue);
        tally.grow();
        self.index.insert(hash, at);
        while count(&self.spaces.get(space).lines) > quota {
            let Some(octets) = self.evict(Whose::Space(space)) else { break };
            change.octets -= octets as i64;
            change.evicted += 1;
        }
        change
    }

    /// Whether nobody asked for a resident for a while. If somebody did, it moves to the front.
    fn is_idle(&mut self, at: u32) -> bool {
        let resident = self.entries.get(at as usize).and_then(Option::as_ref);
        if !resident.is_some_and(|entry| entry.take_turn()) {
            return true;
        }
        self.leave(at);
        self.enter(at, Queue::Resident);
        false
    }

    /// A place for a new entry, in no line yet.
    fn place(&mut self, hash: u64, space: u32, entry: Arc<Entry>) -> u32 {
        let place = Place { hash, space, queue: Queue::Probation, all: ALONE, own: ALONE };
        if let Some(at) = self.free.pop() {
            self.entries[at as usize] = Some(entry);
            self.places[at as usize] = place;
            return at;
        }
        self.entries.push(Some(entry));
        self.places.push(place);
        self.places.len() as u32 - 1
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        count(&self.lines)
    }

    /// Lets the entry go that is needed least; the octets that it had.
    pub(super) fn evict_any(&mut self) -> Option<u64> {
        self.evict(Whose::All)
    }

    fn evict(&mut self, whose: Whose) -> Option<u64> {
        loop {
            let at = self.oldest(whose)?;
            let queue = self.places[at as usize].queue;
            let entry = self.entries[at as usize].as_ref()?;
            // What was used moves to the front, a few times at most.
            let stays = match queue {
                Queue::Probation => entry.take_turns(),
                Queue::Resident => entry.take_turn(),
            };
            if stays {
                self.leave(at);
                self.enter(at, Queue::Resident);
                continue;
            }
            if queue == Queue::Probation {
                let hash = self.places[at as usize].hash;
                let entries = self.len();
                self.ghosts.remember(hash, entries);
            }
            return self.remove_at(at).map(|entry| entry.octets());
        }
    }

    fn oldest(&self, whose: Whose) -> Option<u32> {
        match whose {
            Whose::All => queue::oldest(&self.lines),
            Whose::Space(space) => queue::oldest(&self.spaces.get(space).lines),
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        key: &Key<'_>,
        space: SpaceId,
    ) -> Option<Arc<Entry>> {
        let at = self.find(hash, key, space)?;
        self.remove_at(at)
    }

    fn remove_at(&mut self, at: u32) -> Option<Arc<Entry>> {
        let Place { hash, space, .. } = self.places[at as usize];
        self.leave(at);
        self.index.remove(hash, at);
        self.free.push(at);
        let own = self.spaces.get(space);
        own.tally.shrink();
        if count(&own.lines) == 0 {
            self.spaces.leave(space);
        }
        self.entries[at as usize].take()
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().flatten()
    }

    /// Takes those out that `goes` says yes to.
    pub(super) fn remove_where(&mut self, goes: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let goes = |at: &u32| self.entries[*at as usize].as_ref().is_some_and(|entry| goes(entry));
        let gone: Vec<u32> = (0..self.entries.len() as u32).filter(goes).collect();
        gone.into_iter().filter_map(|at| self.remove_at(at)).collect()
    }

    /// Takes all entries of a space out; the octets they had.
    pub(super) fn clear(&mut self, space: SpaceId) -> u64 {
        let mut octets = 0;
        while let Some(index) = self.spaces.find(space) {
            let at =
                self.spaces.get(index).lines.iter().map(|line| line.oldest).find(|&at| at != NONE);
            let Some(entry) = at.and_then(|at| self.remove_at(at)) else { break };
            octets += entry.octets();
        }
        octets
    }

    /// Puts an entry at the front of both its lines.
    fn enter(&mut self, at: u32, queue: Queue) {
        let space = self.places[at as usize].space;
        self.places[at as usize].queue = queue;
        push(&mut self.lines[queue as usize], &mut self.places, at, |place| &mut place.all);
        let own = &mut self.spaces.get_mut(space).lines[queue as usize];
        push(own, &mut self.places, at, |place| &mut place.own);
    }

    /// Takes an entry out of both its lines.
    fn leave(&mut self, at: u32) {
        let Place { space, queue, .. } = self.places[at as usize];
        unlink(&mut self.lines[queue as usize], &mut self.places, at, |place| &mut place.all);
        let own = &mut self.spaces.get_mut(space).lines[queue as usize];
        unlink(own, &mut self.places, at, |place| &mut place.own);
    }
}
